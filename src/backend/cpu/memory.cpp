#include "backend/cpu/cpu_backend.hpp"
#include "backend/cpu/pieces.hpp"
#include "kernels/formulas/float_type.hpp"

#include <cstring>

namespace natgrad {

using cpu::at;
using cpu::parallel_runs;
using cpu::value_of;

namespace {

std::size_t bytes(std::int64_t count, ElementType type) {
  return static_cast<std::size_t>(count * size_of(type));
}

template <class From, class To>
void convert(const ConstView& from, const View& to) {
  parallel_runs({from, to}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
    const From* source = at<From>(from, row, column);
    To* target = at<To>(to, row, column);
    for (std::int64_t i = 0; i < count; ++i) target[i] = static_cast<To>(source[i]);
  });
}

template <class T>
void fill_runs(T value, const View& to) {
  parallel_runs({to}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
    std::fill_n(at<T>(to, row, column), count, value);
  });
}

}  // namespace

Device CpuBackend::device() const { return {DeviceKind::cpu, 0}; }

void CpuBackend::synchronize() {}

void CpuBackend::upload(const void* host, const View& to) {
  std::memcpy(to.data(), host, bytes(to.size(), to.type()));
}

void CpuBackend::download(const ConstView& from, void* host) {
  std::memcpy(host, from.data(), bytes(from.size(), from.type()));
}

void CpuBackend::copy(const ConstView& from, const View& to) {
  if (from.type() == ElementType::int32) return convert<std::int32_t, std::int32_t>(from, to);
  with_float_type(from.type(), [&]<class From>(From) {
    with_float_type(to.type(), [&]<class To>(To) { convert<From, To>(from, to); });
  });
}

void CpuBackend::fill(double value, const View& to) {
  if (to.type() == ElementType::int32) return fill_runs(static_cast<std::int32_t>(value), to);
  with_float_type(to.type(), [&]<class T>(T) { fill_runs(static_cast<T>(value), to); });
}

void CpuBackend::gather_rows(const ConstView& from, const ConstView& rows, const View& to) {
  const std::int32_t* index = rows.as<std::int32_t>();
  const std::size_t row_bytes = bytes(to.columns(), to.type());
  const std::int64_t size = size_of(to.type());
  cpu::parallel_blocks(
      to.rows(), cpu::row_grain(to.columns()), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          std::memcpy(static_cast<std::byte*>(to.data()) + i * to.leading_dimension() * size,
                      static_cast<const std::byte*>(from.data()) +
                          index[i] * from.leading_dimension() * size,
                      row_bytes);
        }
      });
}

void CpuBackend::commit(const ConstView& flag, const ConstView& from, const View& to) {
  if (value_of(flag) > 0) copy(from, to);
}

}  // namespace natgrad
