#include "bindings/c/handles.hpp"
#include "bindings/c/status.hpp"
#include "bindings/c/structs.hpp"

#include <cstddef>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

namespace natgrad::c {

namespace {

using detail::message;

natgrad_save_options save_defaults() {
  natgrad_save_options defaults = {};
  defaults.size = sizeof defaults;
  return defaults;
}

Blobs blobs_of(const natgrad_blob* blobs, std::int64_t count) {
  if (count > 0) required("blobs", blobs);
  Blobs all;
  for (std::int64_t i = 0; i < count; ++i) {
    const natgrad_blob& blob = blobs[i];
    const auto* bytes = static_cast<const std::byte*>(blob.data);
    required("blob: name", blob.name);
    if (blob.bytes < 0 || (blob.bytes > 0 && bytes == nullptr)) {
      throw ArgumentError(message("blob \"", blob.name, "\": ", blob.bytes, " bytes",
                                  bytes == nullptr ? " of null" : ""));
    }
    std::vector<std::byte> copy;
    if (blob.bytes > 0) copy.assign(bytes, bytes + blob.bytes);
    if (!all.emplace(blob.name, std::move(copy)).second) {
      throw ArgumentError(message("blob \"", blob.name, "\" is given twice"));
    }
  }
  return all;
}

/// Calls `save` with blobs and options.
template <class Save>
void with_save_options(const natgrad_save_options* options, Save&& save) {
  const auto given = read_struct("save options", options, save_defaults());
  require_reserved("save options", given.reserved);
  std::forward<Save>(save)(blobs_of(given.blobs, given.blob_count),
                           SaveOptions{.parameters = given.without_parameters == 0});
}

}  // namespace

}  // namespace natgrad::c

using namespace natgrad::c;  // NOLINT(google-build-using-namespace): the interface's own functions

natgrad_status natgrad_save_options_init(natgrad_save_options* options, size_t size) {
  return guarded([&] { write_struct("save options", options, size, save_defaults()); });
}

natgrad_status natgrad_optimizer_save(const natgrad_optimizer* optimizer, const char* path,
                                      const natgrad_save_options* options) {
  return guarded([&] {
    const natgrad::NaturalGradient& value = required("optimizer", optimizer).value;
    required("path", path);
    with_save_options(options, [&](const natgrad::Blobs& blobs, const natgrad::SaveOptions& given) {
      natgrad::save(path, value, blobs, given);
    });
  });
}

natgrad_status natgrad_optimizer_save_to_memory(const natgrad_optimizer* optimizer,
                                                const natgrad_save_options* options,
                                                natgrad_bytes** bytes) {
  return guarded([&] {
    const natgrad::NaturalGradient& value = required("optimizer", optimizer).value;
    natgrad_bytes*& result = required("bytes", bytes);
    with_save_options(options, [&](const natgrad::Blobs& blobs, const natgrad::SaveOptions& given) {
      result = new natgrad_bytes{natgrad::save_to_memory(value, blobs, given)};
    });
  });
}

natgrad_status natgrad_bytes_data(const natgrad_bytes* bytes, const void** data, int64_t* size) {
  return guarded([&] {
    const std::vector<std::byte>& value = required("bytes", bytes).value;
    if (data != nullptr) *data = value.data();
    if (size != nullptr) *size = static_cast<std::int64_t>(value.size());
  });
}

void natgrad_bytes_destroy(natgrad_bytes* bytes) { delete bytes; }

natgrad_status natgrad_checkpoint_read_memory(const void* data, int64_t bytes,
                                              natgrad_checkpoint** checkpoint) {
  return guarded([&] {
    const auto* first = static_cast<const std::byte*>(data);
    required("data", first);
    natgrad_checkpoint*& result = required("checkpoint", checkpoint);
    if (bytes < 0) throw natgrad::ArgumentError(natgrad::detail::message(bytes, " bytes"));
    const std::span<const std::byte> file(first, static_cast<std::size_t>(bytes));
    result = new natgrad_checkpoint{natgrad::Checkpoint(file)};
  });
}

natgrad_status natgrad_checkpoint_read(const char* path, natgrad_checkpoint** checkpoint) {
  return guarded([&] {
    required("path", path);
    natgrad_checkpoint*& result = required("checkpoint", checkpoint);
    result = new natgrad_checkpoint{natgrad::Checkpoint(path)};
  });
}

natgrad_status natgrad_checkpoint_restore(const natgrad_checkpoint* checkpoint,
                                          natgrad_optimizer* optimizer) {
  return guarded([&] {
    natgrad_optimizer& all = required("optimizer", optimizer);
    required("checkpoint", checkpoint).value.restore(all.value);
    all.left_over.clear();
  });
}

natgrad_status natgrad_checkpoint_blobs(const natgrad_checkpoint* checkpoint, int64_t* count) {
  return guarded([&] {
    required("count", count) =
        static_cast<std::int64_t>(required("checkpoint", checkpoint).value.blobs().size());
  });
}

natgrad_status natgrad_checkpoint_blob(const natgrad_checkpoint* checkpoint, int64_t index,
                                       natgrad_blob* blob) {
  return guarded([&] {
    const natgrad::Blobs& blobs = required("checkpoint", checkpoint).value.blobs();
    natgrad_blob& result = required("blob", blob);
    const auto count = static_cast<std::int64_t>(blobs.size());
    if (index < 0 || index >= count) {
      throw natgrad::ArgumentError(natgrad::detail::message("blob ", index, " of ", count));
    }
    const auto found = std::next(blobs.begin(), index);
    result = {found->first.c_str(), found->second.data(),
              static_cast<std::int64_t>(found->second.size())};
  });
}

void natgrad_checkpoint_destroy(natgrad_checkpoint* checkpoint) { delete checkpoint; }
