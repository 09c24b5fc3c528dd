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

/// Hands entries and metadata of a checkpoint to `write`.
template <class Write>
auto with_entries(const SavedState& state, const Blobs& blobs, const SaveOptions& options,
                  const Write& write) {
  io::EntryList entries;
  io::add_optimizer(state, options.parameters, entries);
  for (const auto& [name, content] : blobs) {
    io::require_utf8("blob", name);
    entries.add_view({.name = message(io::blob_prefix, name),
                      .type = io::DataType::u8,
                      .shape = {static_cast<std::int64_t>(content.size())},
                      .bytes = content});
  }
  io::Metadata metadata = {{"version", version()}, {"optimizer", state.optimizer}};
  if (!options.parameters) metadata.emplace_back(io::parameters_key, io::no_parameters);
  return write(entries.in_order(), metadata);
}

/// The state to save, of an optimizer that is between steps and has allocated.
SavedState state_of(const NaturalGradient& optimizer) {
  OptimizerAccess::allocate(optimizer);
  return OptimizerAccess::saved_state(optimizer);
}
SavedState state_of(const FirstOrder& optimizer) {
  return FirstOrderAccess::saved_state(optimizer);
}

void require_between_steps(const NaturalGradient& optimizer) {
  OptimizerAccess::require_between_steps(optimizer);
}
void require_between_steps(const FirstOrder&) {}

template <class Optimizer>
void save_file(const std::string& path, const Optimizer& optimizer, const Blobs& blobs,
               const SaveOptions& options) {
  require_between_steps(optimizer);
  with_memory(path, [&] {
    with_entries(state_of(optimizer), blobs, options,
                 [&](std::span<const io::Entry> entries, const io::Metadata& metadata) {
                   io::write_checkpoint(path, entries, metadata);
                 });
  });
}

template <class Optimizer>
std::vector<std::byte> save_bytes(const Optimizer& optimizer, const Blobs& blobs,
                                  const SaveOptions& options) {
  require_between_steps(optimizer);
  return with_memory(io::name_in_memory, [&] {
    return with_entries(state_of(optimizer), blobs, options, io::checkpoint_bytes);
  });
}

template <class Optimizer>
Blobs load_checkpoint(const Checkpoint& checkpoint, Optimizer& optimizer) {
  // Before anything changes.
  Blobs blobs = with_memory(checkpoint.path(), [&] { return checkpoint.blobs(); });
  checkpoint.restore(optimizer);
  return blobs;
}

}  // namespace

void save(const std::string& path, const NaturalGradient& optimizer, const Blobs& blobs,
          const SaveOptions& options) {
  save_file(path, optimizer, blobs, options);
}

void save(const std::string& path, const FirstOrder& optimizer, const Blobs& blobs,
          const SaveOptions& options) {
  save_file(path, optimizer, blobs, options);
}

std::vector<std::byte> save_to_memory(const NaturalGradient& optimizer, const Blobs& blobs,
                                      const SaveOptions& options) {
  return save_bytes(optimizer, blobs, options);
}

std::vector<std::byte> save_to_memory(const FirstOrder& optimizer, const Blobs& blobs,
                                      const SaveOptions& options) {
  return save_bytes(optimizer, blobs, options);
}

void require_writable(const std::string& path) {
  with_memory(path, [&] { io::AtomicFile{path}; });
}

struct Checkpoint::State {
  explicit State(io::CheckpointFile read) : file(std::move(read)) {
    for (const auto& [name, entry] : file.entries()) {
      if (!name.starts_with(io::blob_prefix)) continue;
      blobs[name.substr(io::blob_prefix.size())].assign(entry.bytes.begin(), entry.bytes.end());
    }
  }

  io::CheckpointFile file;
  Blobs blobs;
};

Checkpoint::Checkpoint(const std::string& path)
    : state_(with_memory(
          path, [&] { return std::make_unique<const State>(io::CheckpointFile(path)); })) {}

Checkpoint::Checkpoint(std::span<const std::byte> bytes)
    : state_(with_memory(io::name_in_memory, [&] {
        return std::make_unique<const State>(io::CheckpointFile(bytes));
      })) {}

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
  return load_checkpoint(Checkpoint(path), optimizer);
}
Blobs load(const std::string& path, FirstOrder& optimizer) {
  return load_checkpoint(Checkpoint(path), optimizer);
}
Blobs load(std::span<const std::byte> bytes, NaturalGradient& optimizer) {
  return load_checkpoint(Checkpoint(bytes), optimizer);
}
Blobs load(std::span<const std::byte> bytes, FirstOrder& optimizer) {
  return load_checkpoint(Checkpoint(bytes), optimizer);
}

}  // namespace natgrad
