#include "natgrad/checkpoint.hpp"

#include "core/message.hpp"
#include "io/atomic_file.hpp"
#include "io/checkpoint_file.hpp"
#include "io/entry_names.hpp"
#include "io/optimizer_entries.hpp"
#include "natgrad/error.hpp"
#include "natgrad/version.hpp"
#include "optimizer/first_order_access.hpp"
#include "optimizer/saved_state.hpp"

#include <new>
#include <stdexcept>
#include <utility>

namespace natgrad {

namespace {

using detail::FirstOrderAccess;
using detail::message;
using detail::OptimizerAccess;
using detail::SavedState;

/// Runs an action in which host memory may run out.
template <class Action>
auto with_memory(const std::string& path, const Action& action) {
  try {
    return action();
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {
  }
  throw MemoryError(message(path, ": there is no host memory for the checkpoint"));
}

void save_state(const std::string& path, const SavedState& state, const Blobs& blobs) {
  io::EntryList entries;
  io::add_optimizer(state, entries);
  for (const auto& [name, content] : blobs) {
    io::require_utf8("blob", name);
    entries.add_view({.name = message(io::blob_prefix, name),
                      .type = io::DataType::u8,
                      .shape = {static_cast<std::int64_t>(content.size())},
                      .bytes = content});
  }
  io::write_checkpoint(path, entries.in_order(),
                       {{"version", version()}, {"optimizer", state.optimizer}});
}

}  // namespace

void save(const std::string& path, const NaturalGradient& optimizer, const Blobs& blobs) {
  OptimizerAccess::require_between_steps(optimizer);
  with_memory(path, [&] {
    OptimizerAccess::allocate(optimizer);
    save_state(path, OptimizerAccess::saved_state(optimizer), blobs);
  });
}

void save(const std::string& path, const FirstOrder& optimizer, const Blobs& blobs) {
  with_memory(path, [&] { save_state(path, FirstOrderAccess::saved_state(optimizer), blobs); });
}

void require_writable(const std::string& path) {
  with_memory(path, [&] { io::AtomicFile{path}; });
}

struct Checkpoint::State {
  explicit State(const std::string& path) : file(path) {
    for (const auto& [name, entry] : file.entries()) {
      if (!name.starts_with(io::blob_prefix)) continue;
      blobs[name.substr(io::blob_prefix.size())].assign(entry.bytes.begin(), entry.bytes.end());
    }
  }

  io::CheckpointFile file;
  Blobs blobs;
};

Checkpoint::Checkpoint(const std::string& path)
    : state_(with_memory(path, [&] { return std::make_unique<const State>(path); })) {}

Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

const std::string& Checkpoint::path() const { return state_->file.path(); }
const Blobs& Checkpoint::blobs() const { return state_->blobs; }

void Checkpoint::restore(NaturalGradient& optimizer) const {
  with_memory(path(), [&] {
    const io::LoadedState loaded =
        io::read_optimizer(state_->file, OptimizerAccess::saved_state(optimizer));
    OptimizerAccess::allocate(optimizer);
    io::put_optimizer(loaded, OptimizerAccess::saved_state(optimizer));
    OptimizerAccess::adopt_saved_state(optimizer);
  });
}

void Checkpoint::restore(FirstOrder& optimizer) const {
  with_memory(path(), [&] {
    const SavedState state = FirstOrderAccess::saved_state(optimizer);
    io::put_optimizer(io::read_optimizer(state_->file, state), state);
  });
}

Blobs load(const std::string& path, NaturalGradient& optimizer) {
  const Checkpoint checkpoint(path);
  Blobs blobs = with_memory(path, [&] { return checkpoint.blobs(); });  // before anything changes
  checkpoint.restore(optimizer);
  return blobs;
}

Blobs load(const std::string& path, FirstOrder& optimizer) {
  const Checkpoint checkpoint(path);
  Blobs blobs = with_memory(path, [&] { return checkpoint.blobs(); });  // before anything changes
  checkpoint.restore(optimizer);
  return blobs;
}

}  // namespace natgrad
