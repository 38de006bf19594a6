// The plain session: walks the plan over a kernel table, node by node.
//
// It works for every plan, element type and backend, keeps every activation and
// every gradient, and is the reference for the sessions that are cleverer.
#pragma once

#include <memory>

#include "core/machine.h"

namespace fastnn {

std::unique_ptr<Session> prepare_plain(Machine machine, const SessionRequest& request);

}  // namespace fastnn
