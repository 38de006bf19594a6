// The tiled session: a tile of rows goes through all layers, forward and back,
// before the next, so that activations stay in the caches whatever the batch is.
#pragma once

#include <memory>

#include "core/session_plain.h"

namespace fastnn {

// Rows of a tile.
inline constexpr Index tile_rows = 128;

// `machine` makes one for each worker, whose kernels use no other thread.
std::unique_ptr<Session> prepare_tiled(const SessionRequest& request,
                                       Machine (*machine)(bool alone),
                                       const MakeProducts& products);

}  // namespace fastnn
