#pragma once

namespace natgrad::tests {

/// Under a sanitizer, which looks at the code and not at the numbers, fewer and smaller cases
/// suffice.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace natgrad::tests
