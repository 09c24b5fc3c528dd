#pragma once

// The standard headers that most sources of the library include: compiled once for all of them
// where NATGRAD_PRECOMPILED_HEADERS is on. Every file still includes what it uses: the preset `ci`
// compiles without this.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
