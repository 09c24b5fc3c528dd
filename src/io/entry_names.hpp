#pragma once

#include "natgrad/parameters.hpp"

#include <string>
#include <string_view>
#include <vector>

// What the entries of a checkpoint are called. Parameters have the names that they were given; all
// others begin with one of two prefixes.

namespace natgrad::io {

inline constexpr std::string_view optimizer_prefix = "optimizer.";
inline constexpr std::string_view blob_prefix = "blob.";

/// Whether an entry is of the parameters.
bool is_parameter(std::string_view entry);

/// The entry of each tensor, in the order of the tensors. It is the tensor's name, behind
/// "parameters." where that begins with one of the two prefixes or is "__metadata__"; the second
/// tensor of a name is "NAME#2", the third "NAME#3". Throws `ArgumentError` for a name that is not
/// UTF-8.
std::vector<std::string> tensor_entries(const Parameters& parameters);

/// Throws `ArgumentError` for a name that is not UTF-8. `what`: whose name, as "blob".
void require_utf8(std::string_view what, std::string_view name);

}  // namespace natgrad::io
