#include "bindings/c/handles.hpp"
#include "bindings/c/status.hpp"

#include <iterator>
#include <utility>

using namespace natgrad::c;  // NOLINT(google-build-using-namespace): the interface's own functions

natgrad_status natgrad_optimizer_save(const natgrad_optimizer* optimizer, const char* path,
                                      const natgrad_blob* blobs, int64_t blob_count) {
  return guarded([&] {
    const natgrad::NaturalGradient& value = required("optimizer", optimizer).value;
    required("path", path);
    if (blob_count > 0) required("blobs", blobs);
    natgrad::Blobs all;
    for (std::int64_t i = 0; i < blob_count; ++i) {
      const natgrad_blob& blob = blobs[i];
      const auto* bytes = static_cast<const std::byte*>(blob.data);
      required("blob: name", blob.name);
      if (blob.bytes < 0 || (blob.bytes > 0 && bytes == nullptr)) {
        throw natgrad::ArgumentError(natgrad::detail::message("blob \"", blob.name,
                                                              "\": ", blob.bytes, " bytes",
                                                              bytes == nullptr ? " of null" : ""));
      }
      std::vector<std::byte> copy;
      if (blob.bytes > 0) copy.assign(bytes, bytes + blob.bytes);
      if (!all.emplace(blob.name, std::move(copy)).second) {
        throw natgrad::ArgumentError(
            natgrad::detail::message("blob \"", blob.name, "\" is given twice"));
      }
    }
    natgrad::save(path, value, all);
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
