#pragma once

namespace natgrad::trainer {

/// Runs the whole program natgrad-train and returns its exit code, having said on standard error
/// what went wrong: 0, 2 for an error in options or files, 3 for a run that diverged.
int run(int argc, const char* const* argv);

}  // namespace natgrad::trainer
