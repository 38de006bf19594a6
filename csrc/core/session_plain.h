// The plain session: walks the plan over a kernel table, node by node.
//
// It works for every plan, element type and backend, keeps every activation and
// every gradient, and is the reference for the sessions that are cleverer. With
// `streams` kernels are updated as their gradients are made, which are then kept
// nowhere: for backends whose dense_backward takes an update.
#pragma once

#include <functional>
#include <memory>

#include "core/backend.h"
#include "core/machine.h"
#include "core/walk.h"

namespace fastnn {

// Rows that a session for inference alone takes at once.
Index inference_rows(const Plan& plan);

// Makes the products of the dense nodes of a walk over so many rows.
using MakeProducts =
    std::function<std::unique_ptr<DenseProducts<float>>(const Machine&, Memory&, Index rows)>;

// `products`: what training steps in float32 use in place of the kernel table's.
std::unique_ptr<Session> prepare_plain(Machine machine, const SessionRequest& request,
                                       bool streams = false, const MakeProducts& products = {});

}  // namespace fastnn
