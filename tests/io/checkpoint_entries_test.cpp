#include "io/checkpoint_file.hpp"
#include "io/entry_names.hpp"
#include "io/optimizer_entries.hpp"
#include "natgrad/natgrad.hpp"
#include "support/saved_training.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <sys/mman.h>
#include <utility>
#include <vector>

// What a checkpoint's entries are called and hold, and which files of other versions can be read.

namespace natgrad::tests {

namespace {

using checkpoint_entries = CheckpointTest;

template <class Action>
std::string argument_error(const Action& action) {
  try {
    action();
  } catch (const ArgumentError& error) {
    return error.what();
  }
  return "no ArgumentError";
}

/// One number of an entry.
template <class T>
T number_in(const io::CheckpointFile& file, const std::string& name, std::size_t index = 0) {
  const io::Entry* entry = file.find(name);
  if (entry == nullptr) throw FileError(name);
  T number{};
  std::memcpy(&number, entry->bytes.data() + index * sizeof number, sizeof number);
  return number;
}

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
  io::add_optimizer(state, entries);
  io::write_checkpoint(path, entries.in_order(),
                       {{"version", "0.0.1"}, {"optimizer", state.optimizer}});
}

void load_state(const std::string& path, const detail::SavedState& state) {
  const io::CheckpointFile file(path);
  io::put_optimizer(io::read_optimizer(file, state), state);
}

TEST_F(checkpoint_entries, that_a_version_added_have_their_defaults_in_older_files) {
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

TEST_F(checkpoint_entries, without_a_default_are_missed_in_older_files) {
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

TEST_F(checkpoint_entries, that_this_version_does_not_know_are_refused) {
  Later later;
  save_state(path_, later.state());
  Earlier earlier;
  expect_error(file_error([&] { load_state(path_, earlier.state()); }), path_,
               "this version does not know the entry \"optimizer.average.b\" (F32, 3); the file "
               "was written by natgrad 0.0.1, this is ");
}

TEST_F(checkpoint_entries, are_as_many_as_records) {
  Earlier earlier;
  save_state(path_, earlier.state());
  detail::SavedState state = earlier.state();
  state.records[1].count = 3;
  expect_error(file_error([&] { load_state(path_, state); }), path_,
               "entry \"optimizer.reports.rate\" is F64, 2 in the file, F64, 3 in the optimizer");
}

/// An optimizer of two tensors with these names.
struct Named {
  std::vector<double> first{1, 2, 3, 4, 5, 6};
  std::vector<double> second{7, 8};
  Parameters parameters{Context::cpu()};

  Named(const std::string& first_name, const std::string& second_name) {
    parameters.add(View(first.data(), {2, 3}), first_name);
    parameters.add(View(second.data(), {2}), second_name);
  }
};

TEST_F(checkpoint_entries, of_parameters_have_the_names_that_were_given) {
  const std::string name = "Schichten/\xc3\xa9t\xc3\xa9 \"1\"\n";
  Named run(name, "b");
  save(path_, NaturalGradient(run.parameters));
  const io::CheckpointFile file(path_);
  EXPECT_EQ(number_in<double>(file, name, 5), 6);
  EXPECT_EQ(number_in<double>(file, "b", 1), 8);
  EXPECT_EQ(file.find(name)->shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(file.find("b")->shape, std::vector<std::int64_t>{2});
  EXPECT_EQ(file.find("optimizer.momentum." + name)->shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(number_in<double>(file, "optimizer.momentum.b", 1), 0);
}

TEST_F(checkpoint_entries, of_one_name_get_numbers_and_reserved_names_a_prefix) {
  std::vector<float> memory(9);
  Parameters parameters(Context::cpu());
  const std::vector<std::string> given = {"w",
                                          "w#2",
                                          "w",
                                          "w",
                                          "optimizer.w",
                                          "blob.w",
                                          "__metadata__",
                                          "parameters.optimizer.w",
                                          "checksum.w"};
  const std::vector<std::string> expected = {"w",
                                             "w#2",
                                             "w#3",
                                             "w#4",
                                             "parameters.optimizer.w",
                                             "parameters.blob.w",
                                             "parameters.__metadata__",
                                             "parameters.optimizer.w#2",
                                             "checksum.w"};
  for (std::size_t i = 0; i < given.size(); ++i) {
    memory[i] = static_cast<float>(i + 1);
    parameters.add(View(&memory[i], {1}), given[i]);
  }
  EXPECT_EQ(io::tensor_entries(parameters), expected);
  NaturalGradient optimizer(parameters);
  save(path_, optimizer);
  const std::vector<float> saved = std::exchange(memory, std::vector<float>(9));
  std::vector<float>& fresh = memory;
  Parameters same(Context::cpu());
  for (std::size_t i = 0; i < given.size(); ++i) same.add(View(&fresh[i], {1}), given[i]);
  NaturalGradient other(same);
  load(path_, other);
  EXPECT_EQ(fresh, saved);
}

TEST_F(checkpoint_entries, are_found_in_any_order) {
  Named run("w", "b");
  save(path_, NaturalGradient(run.parameters));
  std::vector<double> w(6), b(2);
  Parameters turned(Context::cpu());
  turned.add(View(b.data(), {2}), "b");
  turned.add(View(w.data(), {2, 3}), "w");
  NaturalGradient optimizer(turned);
  load(path_, optimizer);
  EXPECT_EQ(w, run.first);
  EXPECT_EQ(b, run.second);
}

TEST_F(checkpoint_entries, follow_parameters_that_were_added_before_the_first_step) {
  Named run("w", "b");
  save(path_, NaturalGradient(run.parameters));
  std::vector<double> w(6), b(2), c(1);
  Parameters growing(Context::cpu());
  growing.add(View(w.data(), {2, 3}), "w");
  NaturalGradient optimizer(growing);
  growing.add(View(b.data(), {2}), "b");
  load(path_, optimizer);
  EXPECT_EQ(b, run.second);
  growing.add(View(c.data(), {1}), "c");
  EXPECT_NE(argument_error([&] { load(path_, optimizer); }).find("have grown from 8 to 9"),
            std::string::npos);
}

TEST_F(checkpoint_entries, with_names_that_are_not_utf8_are_refused) {
  Named run("w", "caf\xe9");
  NaturalGradient optimizer(run.parameters);
  EXPECT_EQ(
      argument_error([&] { save(path_, optimizer); }),
      "checkpoint: the name of parameter \"caf\\xe9\" is not UTF-8, as names in a checkpoint must "
      "be");
  Named fine("w", "b");
  EXPECT_EQ(
      argument_error([&] {
        save(path_, NaturalGradient(fine.parameters), {{"\xc0\x80", {}}});
      }),
      "checkpoint: the name of blob \"\\xc0\\x80\" is not UTF-8, as names in a checkpoint must be");
  EXPECT_TRUE(names().empty()) << "nothing was written";
}

TEST_F(checkpoint_entries, of_blobs_have_any_names_and_any_bytes) {
  Named run("w", "b");
  const std::vector<std::byte> bytes = {std::byte{0}, std::byte{255}, std::byte{'\n'}};
  const Blobs blobs = {{"", bytes},
                       {"empty", {}},
                       {std::string("a\0b", 3), bytes},
                       {"\xf0\x9f\x92\xbe \"\\", bytes},
                       {"blob.blob.", bytes}};
  save(path_, NaturalGradient(run.parameters), blobs);
  const Checkpoint checkpoint(path_);
  EXPECT_EQ(checkpoint.blobs(), blobs);
  EXPECT_EQ(checkpoint.path(), path_);
  NaturalGradient optimizer(run.parameters);
  EXPECT_EQ(load(path_, optimizer), blobs);
}

TEST_F(checkpoint_entries, begin_at_multiples_of_their_elements) {
  std::vector<float> odd(3);
  Parameters parameters(Context::cpu());
  parameters.add(View(odd.data(), {3}), "odd");
  save(path_, NaturalGradient(parameters), {{"one", {std::byte{1}}}, {"two", {}}});
  const std::string content = read_file(path_);
  const io::CheckpointFile file(path_);
  ASSERT_GT(file.entries().size(), 15);
  const std::byte* start = nullptr;
  for (const auto& [name, entry] : file.entries()) {
    if (start == nullptr || entry.bytes.data() < start) start = entry.bytes.data();
  }
  std::size_t total = 0;
  for (const auto& [name, entry] : file.entries()) {
    EXPECT_EQ((entry.bytes.data() - start) % static_cast<std::ptrdiff_t>(io::size_of(entry.type)),
              0)
        << name;
    total += entry.bytes.size();
  }
  EXPECT_EQ((content.size() - total) % 8, 0) << "the header";
}

TEST_F(checkpoint_entries, are_counted_beyond_4_gib) {
  // Addresses alone: nothing touches the memory.
  constexpr std::size_t bytes = (std::size_t{5} << 30) + 12;
  void* memory =
      mmap(nullptr, 2 * bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const std::span span(static_cast<const std::byte*>(memory), bytes);
  const auto numbers = static_cast<std::int64_t>(bytes / 4);
  const std::vector<io::Entry> entries = {{"large", io::DataType::f32, {numbers}, span},
                                          {"larger", io::DataType::f32, {1, numbers}, span}};
  const io::Header header = io::read_header(io::make_header(entries, {}));
  EXPECT_EQ(header.data_bytes, 2 * bytes);
  ASSERT_EQ(header.entries.size(), 2);
  EXPECT_EQ(header.entries[1].name, "larger");
  EXPECT_EQ(header.entries[1].shape, (std::vector<std::int64_t>{1, numbers}));
  munmap(memory, 2 * bytes);
}

TEST_F(checkpoint_entries, need_memory_and_change_nothing_without_it) {
  Named run("w", "b");
  save(path_, NaturalGradient(run.parameters));
  const std::string content = read_file(path_);
  bool done = false;
  for (int room = 0; !done; ++room) {
    ASSERT_LT(room, 100);
    // So many allocations, and then an exception that is not the library's.
    int left = 1000;
    const Context context =
        Context::cpu({.allocator = {.allocate =
                                        [&left](std::size_t bytes, void*) {
                                          if (left-- <= 0) throw std::bad_alloc();
                                          return ::operator new(bytes, std::align_val_t(64));
                                        },
                                    .deallocate =
                                        [](void* memory, std::size_t, void*) {
                                          ::operator delete(memory, std::align_val_t(64));
                                        }}});
    std::vector<double> w(6), b(2);
    Parameters parameters(context);
    parameters.add(View(w.data(), {2, 3}), "w");
    parameters.add(View(b.data(), {2}), "b");
    NaturalGradient optimizer(parameters);
    left = room;
    try {
      load(path_, optimizer);
      EXPECT_EQ(w, run.first);
      EXPECT_GT(room, 1);
      done = true;
    } catch (const MemoryError&) {
      EXPECT_EQ(w, std::vector<double>(6));
      EXPECT_EQ(b, std::vector<double>(2));
    }
    left = 0;
    EXPECT_THROW(save(path_, optimizer), MemoryError);
    expect_only(content);
  }
}

}  // namespace

}  // namespace natgrad::tests
