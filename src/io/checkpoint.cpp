#include "io/checkpoint.hpp"

#include "core/context_state.hpp"
#include "core/message.hpp"
#include "io/atomic_file.hpp"
#include "io/bytes.hpp"
#include "natgrad/error.hpp"
#include "optimizer/first_order_access.hpp"
#include "optimizer/optimizer_state.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace natgrad {

namespace io {

namespace {

using detail::message;
using detail::OptimizerState;
using detail::StatePart;

// Sections; those of the optimizer and of the caller have names of their own behind a prefix.
const std::string kind_section = "optimizer";
const std::string segments_section = "segments";
const std::string theta_section = "theta";
const std::string part_prefix = "state: ";
const std::string blob_prefix = "blob: ";

std::string in_words(const std::string& name, Shape shape) {
  return message('"', name, "\" (", to_string(shape), ')');
}

/// Element type, number of segments, and each one's name and shape.
std::vector<std::byte> describe(const Parameters& parameters) {
  ByteWriter description;
  description.text(to_string(parameters.type()));
  description.number(static_cast<std::int64_t>(parameters.segments()));
  for (int i = 0; i < parameters.segments(); ++i) {
    const View& tensor = parameters.tensor({i});
    description.text(parameters.name({i}));
    description.number(tensor.rows());
    description.number(tensor.columns());
  }
  return description.take();
}

void require_same_model(const CheckpointFile& file, const Parameters& parameters) {
  ByteReader description(file.section(segments_section), file.path() + ": the list of segments");
  const std::string type = description.text();
  if (type != to_string(parameters.type())) {
    throw FileError(message(file.path(), ": the parameters in the file are ", type,
                            ", those of the optimizer ", to_string(parameters.type())));
  }
  const auto count = description.number<std::int64_t>();
  for (int i = 0; i < std::min<std::int64_t>(count, parameters.segments()); ++i) {
    const std::string name = description.text();
    const auto rows = description.number<std::int64_t>();
    const Shape shape = {rows, description.number<std::int64_t>()};
    if (name == parameters.name({i}) && shape == parameters.tensor({i}).shape()) continue;
    throw FileError(message(file.path(), ": another model: segment ", i, " is ",
                            in_words(name, shape), " in the file, ",
                            in_words(parameters.name({i}), parameters.tensor({i}).shape()),
                            " in the optimizer"));
  }
  if (count != parameters.segments()) {
    throw FileError(message(file.path(), ": another model: ", count, " segments in the file, ",
                            parameters.segments(), " in the optimizer"));
  }
  description.end();
}

void require_length(const CheckpointFile& file, const std::string& name, std::int64_t bytes) {
  const auto length = static_cast<std::int64_t>(file.section(name).size());
  if (length == bytes) return;
  throw FileError(message(file.path(), ": section \"", name, "\" has ", length,
                          " bytes in the file, ", bytes, " in the optimizer"));
}

/// Everything that could be wrong, before anything changes.
void require_fits(const CheckpointFile& file, const OptimizerState& state) {
  if (const std::string kind = text_of(file.section(kind_section)); kind != state.kind) {
    throw FileError(
        message(file.path(), ": the file is of ", kind, ", the optimizer is ", state.kind));
  }
  require_same_model(file, state.parameters);
  require_length(file, theta_section, state.parameters.size() * size_of(state.parameters.type()));
  for (const StatePart& part : state.parts) {
    const std::string name = part_prefix + part.name;
    require_length(file, name, part.bytes);
    if (part.sound != nullptr && !part.sound(file.section(name))) {
      throw FileError(message(file.path(), ": section \"", name, "\" is damaged"));
    }
  }
  if (file.sections_after(part_prefix).size() != state.parts.size()) {
    throw FileError(message(file.path(),
                            ": the file holds more of an optimizer than this version "
                            "of natgrad knows"));
  }
}

/// A contiguous array for theta, on the device.
Array staging(const Parameters& parameters) {
  return parameters.context().array({parameters.size(), 1}, parameters.type());
}

void put(const OptimizerState& state, const CheckpointFile& file) {
  const Context& context = state.parameters.context();
  const Array theta = staging(state.parameters);
  // Queued steps still write counters and arrays.
  context.synchronize();
  context.write(file.section(theta_section).data(), theta);
  state.parameters.scatter(theta);
  for (const StatePart& part : state.parts) {
    const std::span<const std::byte> content = file.section(part_prefix + part.name);
    if (part.host != nullptr) {
      std::memcpy(part.host, content.data(), content.size());
    } else {
      context.state().backend().upload(content.data(), part.device);
    }
  }
  context.synchronize();
}

void save_state(const std::string& path, const OptimizerState& state, const Blobs& blobs) {
  const Context& context = state.parameters.context();
  context.synchronize();
  // What the sections view.
  std::map<std::string, std::vector<std::byte>> contents;
  const auto fetch = [&](const std::string& name, const View& array) {
    auto& content = contents[name];
    content.resize(static_cast<std::size_t>(array.size() * size_of(array.type())));
    context.state().backend().download(array, content.data());
  };
  {
    const Array theta = staging(state.parameters);
    state.parameters.gather(theta);
    fetch(theta_section, theta);
  }
  contents[segments_section] = describe(state.parameters);
  Sections sections;
  for (const StatePart& part : state.parts) {
    const std::string name = part_prefix + part.name;
    if (part.host != nullptr) {
      sections[name] = {static_cast<const std::byte*>(part.host),
                        static_cast<std::size_t>(part.bytes)};
    } else {
      fetch(name, part.device);
    }
  }
  for (const auto& [name, content] : contents) sections[name] = content;
  sections[kind_section] = bytes_of(state.kind);
  for (const auto& [name, content] : blobs) sections[blob_prefix + name] = content;
  write_checkpoint(path, sections);
}

}  // namespace

Blobs blobs_of(const CheckpointFile& file) {
  Blobs blobs;
  for (const auto& [name, content] : file.sections_after(blob_prefix)) {
    blobs[name].assign(content.begin(), content.end());
  }
  return blobs;
}

void restore(const CheckpointFile& file, NaturalGradient& optimizer) {
  require_fits(file, detail::OptimizerAccess::state(optimizer));
  try {
    detail::OptimizerAccess::check_settings(optimizer, file.section(part_prefix + "scalars"));
  } catch (const OptionError& error) {
    throw FileError(message(file.path(), ": the rate or damping in the file does not go with the ",
                            "options: ", error.what()));
  }
  detail::OptimizerAccess::allocate(optimizer);
  put(detail::OptimizerAccess::state(optimizer), file);
  detail::OptimizerAccess::settle(optimizer);
}

void restore(const CheckpointFile& file, FirstOrder& optimizer) {
  const OptimizerState state = detail::FirstOrderAccess::state(optimizer);
  require_fits(file, state);
  put(state, file);
}

}  // namespace io

void save(const std::string& path, const NaturalGradient& optimizer, const Blobs& blobs) {
  detail::OptimizerAccess::require_between_steps(optimizer);
  detail::OptimizerAccess::allocate(optimizer);
  io::save_state(path, detail::OptimizerAccess::state(optimizer), blobs);
}

void save(const std::string& path, const FirstOrder& optimizer, const Blobs& blobs) {
  io::save_state(path, detail::FirstOrderAccess::state(optimizer), blobs);
}

Blobs load(const std::string& path, NaturalGradient& optimizer) {
  const Checkpoint checkpoint(path);
  checkpoint.restore(optimizer);
  return checkpoint.blobs();
}

Blobs load(const std::string& path, FirstOrder& optimizer) {
  const Checkpoint checkpoint(path);
  checkpoint.restore(optimizer);
  return checkpoint.blobs();
}

struct Checkpoint::State {
  io::CheckpointFile file;
  Blobs blobs;
};

Checkpoint::Checkpoint(const std::string& path) {
  io::CheckpointFile file(path);
  Blobs blobs = io::blobs_of(file);
  state_ = std::make_unique<State>(State{std::move(file), std::move(blobs)});
}

Checkpoint::~Checkpoint() = default;
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;

const std::string& Checkpoint::path() const { return state_->file.path(); }
const Blobs& Checkpoint::blobs() const { return state_->blobs; }
void Checkpoint::restore(NaturalGradient& optimizer) const { io::restore(state_->file, optimizer); }
void Checkpoint::restore(FirstOrder& optimizer) const { io::restore(state_->file, optimizer); }

void require_writable(const std::string& path) { io::AtomicFile{path}; }

}  // namespace natgrad
