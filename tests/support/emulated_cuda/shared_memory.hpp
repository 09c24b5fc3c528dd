#pragma once

#include <cstddef>
#include <new>
#include <string>
#include <vector>

namespace natgrad::emulated_cuda {

/// Arrays that the threads of the running block share. Memory is kept from block to block, full of
/// 0xFF again when a block first asks for it.
class SharedMemory {
 public:
  /// Of the calling host thread.
  static SharedMemory& of_this_thread();
  SharedMemory() = default;
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void begin_block();
  /// A failure where a block wrote past an array, or has more than a block may.
  void end_block(const std::string& kernel);
  void* array(const void* key, std::size_t bytes, std::size_t alignment);

 private:
  struct Array {
    const void* key;
    std::size_t bytes;
    std::align_val_t alignment;
    std::byte* data;
    bool used = false;  // by the running block
  };
  std::vector<Array> arrays_;
};

}  // namespace natgrad::emulated_cuda
