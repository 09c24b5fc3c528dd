#pragma once

// What most tests include: compiled once for all of them where NATGRAD_PRECOMPILED_HEADERS is on.

#include "natgrad/natgrad.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <variant>
#include <vector>
