#include "optimizer/partial_batch.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

namespace natgrad::detail {

namespace {

const char* name_of(Centering centering) {
  if (centering == Centering::none) return "none";
  return centering == Centering::rows ? "rows" : "fisher_only";
}

}  // namespace

void PartialBatch::require_fits(const Batch& part) const {
  const ScoreSet& rows = part.fisher.rows();
  if (rows_ > 0) {
    const auto require_same = [](bool same, const char* what, const auto& now, const auto& before) {
      if (same) return;
      throw ArgumentError(message("accumulate: ", what, " differs from that of the parts before (",
                                  now, " and ", before,
                                  "); step() takes the parts there are, discard() drops them"));
    };
    const auto source = [](bool given, bool of_rows) {
      if (!given) return "the rows themselves";
      return of_rows ? "other rows" : "numbers";
    };
    const bool of_rows = part.gradient.rows() != nullptr;
    require_same(rows.batch_samples() == batch_rows_, ".batch_samples", rows.batch_samples(),
                 batch_rows_);
    require_same(rows.kind() == kind_, "the kind of the rows", to_string(rows.kind()),
                 to_string(kind_));
    require_same(rows.centering() == centering_, ".centering", name_of(rows.centering()),
                 name_of(centering_));
    require_same(part.gradient.given() == gradient_given_ && of_rows == (gradient_rows_ > 0),
                 "the source of the gradient", source(part.gradient.given(), of_rows),
                 source(gradient_given_, gradient_rows_ > 0));
    if (of_rows) {
      const std::int64_t batch = part.gradient.rows()->batch_samples();
      require_same(batch == gradient_batch_rows_, "the gradient's .batch_samples", batch,
                   gradient_batch_rows_);
    }
  }
  if (rows_ + rows.size() > rows.batch_samples()) {
    throw ArgumentError(message("accumulate: ", rows_, " rows and ", rows.size(),
                                " more are beyond the batch's ", rows.batch_samples()));
  }
}

void PartialBatch::require_whole() const {
  if (rows_ == 0) throw ArgumentError("step: nothing was accumulated");
  if (rows_ != batch_rows_) {
    throw ArgumentError(message("step: ", rows_, " of ", batch_rows_,
                                " samples are accumulated; a step takes the whole batch"));
  }
  if (gradient_rows_ != gradient_batch_rows_) {
    throw ArgumentError(message("step: the rows of .gradient that are accumulated are ",
                                gradient_rows_, " of ", gradient_batch_rows_,
                                " samples; those of .fisher are whole"));
  }
}

void PartialBatch::require_empty(const char* caller) const {
  if (rows_ == 0) return;
  throw ArgumentError(message(caller, ": ", rows_,
                              " rows are accumulated; step() takes them, discard() drops them"));
}

void PartialBatch::add(const Batch& part) {
  const ScoreSet& rows = part.fisher.rows();
  if (rows_ == 0) {
    batch_rows_ = rows.batch_samples();
    kind_ = rows.kind();
    centering_ = rows.centering();
    gradient_given_ = part.gradient.given();
  }
  rows_ += rows.size();
  if (part.gradient.rows() == nullptr) return;
  gradient_rows_ += part.gradient.rows()->samples();
  gradient_batch_rows_ = part.gradient.rows()->batch_samples();
}

}  // namespace natgrad::detail
