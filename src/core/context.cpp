#include "natgrad/context.hpp"

#include "backend/cpu/blas_library.hpp"
#include "backend/cpu/cpu_backend.hpp"
#include "core/context_state.hpp"
#include "core/memory_errors.hpp"
#include "core/message.hpp"
#include "core/operands.hpp"
#include "natgrad/error.hpp"
#include "natgrad/process.hpp"

#include <new>
#include <utility>

namespace natgrad {

namespace {

constexpr std::align_val_t alignment{64};

Allocator host_allocator() {
  return {
      .allocate = [](std::size_t bytes,
                     void*) { return operator new(bytes, alignment, std::nothrow); },
      .deallocate = [](void* memory, std::size_t, void*) { operator delete(memory, alignment); }};
}

}  // namespace

namespace detail {

std::shared_ptr<const Allocator> checked_allocator(Allocator given) {
  if (!given.allocate && !given.deallocate) given = host_allocator();
  if (!given.allocate || !given.deallocate) {
    throw OptionError("context: an allocator needs both allocate and deallocate");
  }
  return std::make_shared<const Allocator>(std::move(given));
}

ContextState::ContextState(Context::Options options, std::unique_ptr<Backend> backend)
    : on_warning_(std::move(options.on_warning)),
      backend_(std::move(backend)),
      allocator_(checked_allocator(std::move(options.allocator))) {
  arenas_.push_back(std::make_unique<Arena>(allocator_, *backend_, backend_->stream()));
}

void ContextState::next_arena() {
  if (calls_ + 1 == arenas_.size()) {
    arenas_.push_back(std::make_unique<Arena>(allocator_, *backend_, backend_->stream()));
  }
  ++calls_;
}

Array ContextState::visible_array(Shape shape, ElementType type) const {
  const auto memory = backend_->visible_memory();
  return {memory == nullptr ? allocator_ : memory, shape, type, device(), backend_->stream()};
}

void ContextState::warn(std::string_view text) const {
  if (on_warning_) on_warning_(text);
}

}  // namespace detail

Context::Context(std::shared_ptr<detail::ContextState> state) : state_(std::move(state)) {}

Context Context::cpu(Options options) {
  return detail::with_memory_errors([&] {
    blas::functions();  // where there are none, that is said here
    Context context(
        std::make_shared<detail::ContextState>(std::move(options), std::make_unique<CpuBackend>()));
    for (const BlasAdvice& advice : blas_advice()) {
      context.state_->warn(detail::message(advice.reason, "; start the program with ",
                                           advice.variable, "=", advice.value));
    }
    return context;
  });
}

Context Context::cpu() { return cpu(Options{}); }
Context Context::cuda() { return cuda(Options{}); }
Context Context::best() { return best(Options{}); }

Device Context::device() const { return state_->device(); }

Array Context::array(Shape shape, ElementType type) const {
  return detail::with_memory_errors([&] { return state_->array(shape, type); });
}

void Context::write(const void* host, const View& array) const {
  detail::require_contiguous("write: array", array, state_->memory());
  detail::require_host("write: host memory", host, state_->backend());
  state_->backend().upload(host, array);
}

void Context::read(const ConstView& array, void* host) const {
  detail::require_contiguous("read: array", array, state_->memory());
  detail::require_host("read: host memory", host, state_->backend());
  state_->backend().download(array, host);
}

void Context::synchronize() const { state_->backend().synchronize(); }

}  // namespace natgrad
