#pragma once

#include "natgrad/array.hpp"
#include "natgrad/context.hpp"
#include "natgrad/damping.hpp"
#include "natgrad/error.hpp"
#include "natgrad/fisher_matrix.hpp"
#include "natgrad/memory_plan.hpp"
#include "natgrad/models/fully_connected.hpp"
#include "natgrad/natural_gradient.hpp"
#include "natgrad/parameters.hpp"
#include "natgrad/scores.hpp"
#include "natgrad/types.hpp"
#include "natgrad/version.hpp"
