#pragma once

namespace natgrad::trainer {

/// The whole program natgrad-train: returns its exit code, having said on standard error what went
/// wrong.
int run(int argc, const char* const* argv);

}  // namespace natgrad::trainer
