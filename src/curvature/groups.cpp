#include "curvature/groups.hpp"

#include "core/message.hpp"
#include "natgrad/error.hpp"

namespace natgrad::detail {

namespace {

/// Group of every segment.
std::vector<int> owners_of(const char* owner, const ParameterGroups& groups,
                           const Parameters& parameters) {
  std::vector<int> group_of(static_cast<std::size_t>(parameters.segments()), -1);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].empty()) throw ArgumentError(message(owner, ": .groups: group ", g, " is empty"));
    for (const Segment& segment : groups[g]) {
      if (segment.index < 0 || segment.index >= parameters.segments()) {
        throw ArgumentError(message(owner, ": .groups: group ", g, " names segment ", segment.index,
                                    " of ", parameters.segments(), ", which does not exist"));
      }
      int& group = group_of[static_cast<std::size_t>(segment.index)];
      if (group >= 0) {
        const bool same = group == static_cast<int>(g);
        throw ArgumentError(message(owner, ": .groups: ", parameters.name(segment),
                                    same ? " stands twice in group " : " stands in group ", group,
                                    same ? "" : message(" and in group ", g)));
      }
      group = static_cast<int>(g);
    }
  }
  for (int i = 0; i < parameters.segments(); ++i) {
    if (group_of[static_cast<std::size_t>(i)] >= 0) continue;
    throw ArgumentError(message(owner, ": .groups: ", parameters.name({i}),
                                " stands in no group; groups name every segment once"));
  }
  return group_of;
}

}  // namespace

std::vector<std::vector<std::size_t>> active_groups(const char* owner, Structure structure,
                                                    const ParameterGroups& groups,
                                                    const Parameters& parameters,
                                                    std::span<const Segment> active) {
  if (groups.empty()) return {};
  if (structure != Structure::block_diagonal) {
    throw OptionError(message(owner, ": .groups go with .structure = block_diagonal, not with ",
                              to_string(structure)));
  }
  const std::vector<int> group_of = owners_of(owner, groups, parameters);
  std::vector<std::vector<std::size_t>> places(groups.size());
  for (std::size_t i = 0; i < active.size(); ++i) {
    const int group = group_of[static_cast<std::size_t>(active[i].index)];
    places[static_cast<std::size_t>(group)].push_back(i);
  }
  std::erase_if(places, [](const auto& group) { return group.empty(); });
  return places;
}

}  // namespace natgrad::detail
