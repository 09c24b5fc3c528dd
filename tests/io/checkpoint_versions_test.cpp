#include "io/checkpoint_file.hpp"
#include "io/optimizer_entries.hpp"
#include "support/saved_training.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

// Which checkpoints of other versions can be read.

namespace natgrad::tests {

namespace {

using checkpoint_versions = CheckpointTest;

// An optimizer of one version, and of a later one that has another field in front, another array of
// the parameters' size and another counter.
struct EarlierScalars {
  double rate = 0;
  double steps = 0;
};
struct LaterScalars {
  double trust = 0;
  double steps = 0;
  double rate = 0;
};
using detail::RecordField;
constexpr std::array earlier_fields = {
    RecordField<EarlierScalars>{"rate", &EarlierScalars::rate},
    RecordField<EarlierScalars>{"steps", &EarlierScalars::steps}};
constexpr std::array later_fields = {
    RecordField<LaterScalars>{"rate", &LaterScalars::rate},
    RecordField<LaterScalars>{"steps", &LaterScalars::steps},
    RecordField<LaterScalars>{"trust", &LaterScalars::trust, 0.25}};
static_assert(detail::names_every_field(earlier_fields));
static_assert(detail::names_every_field(later_fields));

template <class Scalars>
View view_of(Scalars* scalars, std::int64_t count = 1) {
  return {reinterpret_cast<double*>(scalars),
          {count, static_cast<std::int64_t>(sizeof(Scalars) / sizeof(double))}};
}

/// Two tensors of 2 x 2 and 3 parameters, and what both versions keep of them.
struct Kept {
  std::vector<float> weight{1, 2, 3, 4};
  std::vector<float> bias{5, 6, 7};
  std::vector<float> momentum{-1, -2, -3, -4, -5, -6, -7};
  std::int64_t reported = 11;
  Parameters parameters{Context::cpu()};

  Kept() {
    parameters.add(View(weight.data(), {2, 2}), "w");
    parameters.add(View(bias.data(), {3}), "b");
  }
  detail::SavedTensors tensors(const char* name, std::vector<float>& numbers) const {
    return {.name = name, .segments = {{0}, {1}}, .numbers = View(numbers.data(), {7})};
  }
  void clear() {
    for (auto* numbers : {&weight, &bias, &momentum}) std::ranges::fill(*numbers, 0.f);
    reported = 0;
  }
};

struct Earlier : Kept {
  EarlierScalars scalars{0.5, 3};
  std::array<EarlierScalars, 2> reports{{{0.1, 1}, {0.2, 2}}};

  detail::SavedState state() {
    return {.parameters = parameters,
            .optimizer = "an optimizer",
            .records = {detail::saved_records("settings.", earlier_fields, view_of(&scalars)),
                        detail::saved_records("reports.", earlier_fields,
                                              view_of(reports.data(), 2), 2)},
            .tensors = {tensors("momentum", momentum)},
            .counters = {{"counters.reported", &reported}}};
  }
};

struct Later : Kept {
  LaterScalars scalars{9, 9, 9};
  std::array<LaterScalars, 2> reports{};
  std::vector<float> average = std::vector<float>(7);
  std::int64_t rejected = 9;

  detail::SavedState state() {
    detail::SavedTensors averages = tensors("average", average);
    averages.missing = 0.125;
    return {
        .parameters = parameters,
        .optimizer = "an optimizer",
        .records = {detail::saved_records("settings.", later_fields, view_of(&scalars)),
                    detail::saved_records("reports.", later_fields, view_of(reports.data(), 2), 2)},
        .tensors = {tensors("momentum", momentum), averages},
        .counters = {{"counters.reported", &reported}, {"counters.rejected", &rejected, 4}}};
  }
};

void save_state(const std::string& path, const detail::SavedState& state) {
  io::EntryList entries;
  io::add_optimizer(state, true, entries);
  io::write_checkpoint(path, entries.in_order(),
                       {{"version", "0.0.1"}, {"optimizer", state.optimizer}});
}

void load_state(const std::string& path, const detail::SavedState& state) {
  const io::CheckpointFile file(path);
  io::put_optimizer(io::read_optimizer(file, state), state);
}

TEST_F(checkpoint_versions, that_a_version_added_have_their_defaults_in_older_files) {
  Earlier earlier;
  save_state(path_, earlier.state());
  Later later;
  later.clear();
  load_state(path_, later.state());
  EXPECT_EQ(later.weight, earlier.weight);
  EXPECT_EQ(later.bias, earlier.bias);
  EXPECT_EQ(later.momentum, earlier.momentum);
  EXPECT_EQ(later.scalars.rate, 0.5);
  EXPECT_EQ(later.scalars.steps, 3);
  EXPECT_EQ(later.scalars.trust, 0.25);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(later.reports[i].rate, earlier.reports[i].rate);
    EXPECT_EQ(later.reports[i].steps, earlier.reports[i].steps);
    EXPECT_EQ(later.reports[i].trust, 0.25);
  }
  EXPECT_EQ(later.average, std::vector<float>(7, 0.125));
  EXPECT_EQ(later.reported, 11);
  EXPECT_EQ(later.rejected, 4);

  // Once written, they are read.
  later.scalars.trust = 0.75;
  later.average[6] = 2;
  later.rejected = 6;
  save_state(path_, later.state());
  Later again;
  load_state(path_, again.state());
  EXPECT_EQ(again.scalars.trust, 0.75);
  EXPECT_EQ(again.average, later.average);
  EXPECT_EQ(again.rejected, 6);
}

TEST_F(checkpoint_versions, without_a_default_are_missed_in_older_files) {
  Earlier earlier;
  save_state(path_, earlier.state());
  Later later;
  const auto error = [&](auto change) {
    detail::SavedState state = later.state();
    change(state);
    return file_error([&] { load_state(path_, state); });
  };
  expect_error(error([](auto& s) { s.records[0].fields[2].missing = {}; }), path_,
               "the checkpoint has no entry \"optimizer.settings.trust\" (F64, one number); the "
               "file was written by natgrad 0.0.1, this is ");
  expect_error(error([](auto& s) { s.records[1].fields[2].missing = {}; }), path_,
               "no entry \"optimizer.reports.trust\" (F64, 2)");
  expect_error(error([](auto& s) { s.tensors[1].missing = {}; }), path_,
               "no entry \"optimizer.average.w\" (F32, 2 x 2)");
  expect_error(error([](auto& s) { s.counters[1].missing = {}; }), path_,
               "no entry \"optimizer.counters.rejected\" (I64, one number)");
  EXPECT_EQ(later.scalars.rate, 9) << "nothing was loaded";
}

TEST_F(checkpoint_versions, that_this_version_does_not_know_are_refused) {
  Later later;
  save_state(path_, later.state());
  Earlier earlier;
  expect_error(file_error([&] { load_state(path_, earlier.state()); }), path_,
               "this version does not know the entry \"optimizer.average.b\" (F32, 3); the file "
               "was written by natgrad 0.0.1, this is ");
}

TEST_F(checkpoint_versions, are_as_many_as_records) {
  Earlier earlier;
  save_state(path_, earlier.state());
  detail::SavedState state = earlier.state();
  state.records[1].count = 3;
  expect_error(file_error([&] { load_state(path_, state); }), path_,
               "entry \"optimizer.reports.rate\" is F64, 2 in the file, F64, 3 in the optimizer");
}

}  // namespace

}  // namespace natgrad::tests
