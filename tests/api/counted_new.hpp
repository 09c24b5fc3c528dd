#pragma once

#include <atomic>
#include <cstdint>

namespace natgrad::tests {

// What a program counts whose operator new is that of counted_new.cpp.

extern std::atomic<std::int64_t> news;         // allocations of the process
extern std::atomic<std::int64_t> refused_new;  // this one fails, counted from 1; 0: none
extern std::atomic<std::int64_t> held;         // allocations that were not freed yet

}  // namespace natgrad::tests
