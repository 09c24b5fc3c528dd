#include "backend/cuda/kept_owners.hpp"

#include "backend/cuda/errors.hpp"

#include <iterator>
#include <utility>

namespace natgrad::cuda {

namespace {

/// Moves all of `from` to the end of `to`. Throws `std::bad_alloc`, with nothing moved.
void move_all(std::vector<Owner>& from, std::vector<Owner>& to) {
  to.reserve(to.size() + from.size());
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  from.clear();
}

}  // namespace

void KeptOwners::add(std::vector<Owner>& owners) {
  release_finished();
  if (stream_.is_capturing()) return move_all(owners, captured_);
  if (unused_.empty()) {
    // Room for all there are, so that giving a group back cannot fail.
    unused_.reserve(under_way_.size() + 1);
    cudaEvent_t done = nullptr;
    check(cudaEventCreateWithFlags(&done, cudaEventDisableTiming), "create an event");
    unused_.push_back({done});
  }
  under_way_.reserve(under_way_.size() + 1);
  Group& group = unused_.back();
  group.owners.reserve(owners.size() + captured_.size());
  check(cudaEventRecord(group.done, stream_.get()), "an event behind the work");
  move_all(captured_, group.owners);
  move_all(owners, group.owners);
  under_way_.push_back(std::move(group));
  unused_.pop_back();
}

/// Destructors of owners may come back here, so that a group is nobody's while they run.
void KeptOwners::release_finished() noexcept {
  if (under_way_.empty() || stream_.is_capturing()) return;
  while (!under_way_.empty()) {
    const cudaError_t status = cudaEventQuery(under_way_.front().done);
    disregard(status);
    if (status != cudaSuccess) return;
    Group group = std::move(under_way_.front());
    under_way_.erase(under_way_.begin());
    group.owners.clear();
    unused_.push_back(std::move(group));
  }
}

void KeptOwners::release_all() noexcept {
  if (!under_way_.empty() || !captured_.empty()) disregard(cudaStreamSynchronize(stream_.get()));
  for (std::vector<Group>* groups : {&under_way_, &unused_}) {
    for (Group& group : *groups) {
      group.owners.clear();
      disregard(cudaEventDestroy(group.done));
    }
    groups->clear();
  }
  captured_.clear();
}

}  // namespace natgrad::cuda
