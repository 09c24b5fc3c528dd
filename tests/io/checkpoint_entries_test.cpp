#include "io/checkpoint_file.hpp"
#include "io/entry_names.hpp"
#include "natgrad/natgrad.hpp"
#include "support/saved_training.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <sys/mman.h>
#include <vector>

// What a checkpoint's entries are called and hold.

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
