// Rows of the tables of core, as Python asks for them and as it gives options back by name.
#pragma once

#include "bindings/bindings.h"
#include "core/loss.h"
#include "core/optimizer.h"

namespace fastnn::bindings {

void register_tables(py::module_& module);

// learning_rate, weight_decay and the row's own options by name. An option that is not given has
// its default. ValueError for an unknown name or a number out of range.
// Options of a loss by name into their places; the others get their defaults.
void loss_options(LossKind kind, const py::dict& given, double (&options)[max_loss_options]);

OptimizerSettings settings_of(OptimizerKind kind, const py::dict& given);

}  // namespace fastnn::bindings
