#include "trainer/data/csv.hpp"

#include "natgrad/error.hpp"
#include "trainer/data/checksum.hpp"
#include "trainer/data/gzip.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>

namespace natgrad::trainer {

namespace {

constexpr std::string_view blanks = " \t";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) + 1 - first);
}

/// A text of the file as an error quotes it.
std::string in_quotes(std::string_view text) {
  constexpr std::size_t most = 40;
  return fmt::format("\"{}{}\"", text.substr(0, most), text.size() > most ? "..." : "");
}

/// "a, b, c", and of many names the first few.
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t most = 20;
  const std::size_t shown = std::min(names.size(), most);
  const auto first = names.begin();
  const auto last = first + static_cast<std::ptrdiff_t>(shown);
  return fmt::format("{}{}", fmt::join(first, last, ", "),
                     names.size() > most ? fmt::format(", ... ({} in all)", names.size()) : "");
}

/// The nearest double, infinite where there is none; nothing where the text is no number.
std::optional<double> number_of(std::string_view text) {
  // "+1" is a number for everybody but from_chars.
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (stop != end) return std::nullopt;
  // from_chars leaves the number as it was, and does not say on which side it is out of range.
  if (error == std::errc::result_out_of_range)
    return std::strtod(std::string(text).c_str(), nullptr);
  if (error != std::errc() || !std::isfinite(number)) return std::nullopt;
  return number;
}

/// Cuts the text into records of fields.
class FieldReader {
 public:
  FieldReader(std::string_view text, const std::string& file) : rest_(text), file_(file) {
    constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
    if (rest_.starts_with(byte_order_mark)) rest_.remove_prefix(byte_order_mark.size());
  }

  /// Whether nothing but empty lines follows. To be asked between two records.
  bool is_at_end() const { return rest_.find_first_not_of(" \t\r\n") == std::string_view::npos; }
  /// Whether the record that begins here is an empty line.
  bool is_at_empty_line() const {
    const std::string_view line = trimmed(rest_.substr(0, rest_.find('\n')));
    return line.empty() || line == "\r";
  }

  /// Takes a field, whose text is valid until the next one is taken.
  std::string_view next() {
    field_line_ = line_;
    rest_.remove_prefix(std::min(rest_.find_first_not_of(blanks), rest_.size()));
    const std::string_view text = rest_.starts_with('"') ? next_quoted() : next_plain();
    ends_record_ = rest_.empty() || rest_.front() == '\n';
    if (ends_record_) ++line_;
    if (!rest_.empty()) rest_.remove_prefix(1);
    return text;
  }
  /// Whether the field that was taken is the last of its record.
  bool ends_record() const { return ends_record_; }

  std::int64_t line() const { return line_; }              ///< of what comes next, from 1
  std::int64_t field_line() const { return field_line_; }  ///< where the field taken begins

 private:
  std::string_view next_plain() {
    std::string_view text = rest_.substr(0, rest_.find_first_of(",\n"));
    rest_.remove_prefix(text.size());
    if (!rest_.starts_with(',') && text.ends_with('\r')) text.remove_suffix(1);
    return trimmed(text);
  }

  std::string_view next_quoted() {
    unquoted_.clear();
    for (std::size_t at = 1; at < rest_.size(); ++at) {
      if (rest_[at] == '\n') ++line_;
      if (rest_[at] != '"') {
        unquoted_ += rest_[at];
      } else if (at + 1 < rest_.size() && rest_[at + 1] == '"') {
        unquoted_ += rest_[at++];
      } else {
        rest_.remove_prefix(at + 1);
        // What is left of the field: blanks and the CR of the line's end.
        if (!next_plain().empty()) {
          throw FileError(fmt::format("{}: line {}: text behind a closing quote", file_, line_));
        }
        return unquoted_;
      }
    }
    throw FileError(
        fmt::format("{}: line {}: a quote begins that is not closed", file_, field_line_));
  }

  std::string_view rest_;
  const std::string& file_;
  std::string unquoted_;
  std::int64_t line_ = 1;
  std::int64_t field_line_ = 1;
  bool ends_record_ = false;
};

std::vector<std::string> read_names(FieldReader& reader, const std::string& file) {
  std::vector<std::string> names;
  std::unordered_map<std::string, std::size_t> columns;
  do {
    std::string name(reader.next());
    const std::size_t column = names.size() + 1;
    const auto [before, is_new] = columns.emplace(name, column);
    if (name.empty()) {
      throw FileError(
          fmt::format("{}: line {}, column {}: has no name", file, reader.field_line(), column));
    }
    if (!is_new) {
      throw FileError(fmt::format("{}: line {}, column {}: has the name of column {}, {}", file,
                                  reader.field_line(), column, before->second, in_quotes(name)));
    }
    names.push_back(std::move(name));
  } while (!reader.ends_record());
  if (std::ranges::all_of(names, [](const auto& name) { return number_of(name).has_value(); })) {
    throw FileError(file + ": line 1: has numbers, expected the names of the columns");
  }
  return names;
}

void read_row(FieldReader& reader, CsvTable& table) {
  const std::int64_t line = reader.line();
  if (reader.is_at_empty_line()) {
    throw FileError(fmt::format("{}: line {}: is empty", table.file, line));
  }
  table.lines.push_back(line);
  std::int64_t values = 0;
  do {
    const std::string_view text = reader.next();
    if (values++ >= table.columns()) continue;
    const auto place = [&] { return table.place(table.rows() - 1, values - 1); };
    if (text.empty()) throw FileError(place() + ": the value is missing");
    const std::optional<double> number = number_of(text);
    if (!number) throw FileError(fmt::format("{}: {} is no number", place(), in_quotes(text)));
    if (std::isinf(*number)) {
      throw FileError(fmt::format("{}: {} is too large for a number of double precision", place(),
                                  in_quotes(text)));
    }
    table.numbers.push_back(*number);
  } while (!reader.ends_record());
  if (values != table.columns()) {
    throw FileError(fmt::format("{}: line {}: {} values, expected {} as line 1 has names",
                                table.file, line, values, table.columns()));
  }
}

}  // namespace

std::string CsvTable::place(std::int64_t row, std::int64_t column) const {
  return fmt::format("{}: line {}, column {} ({})", file, lines[static_cast<std::size_t>(row)],
                     column + 1, in_quotes(names[static_cast<std::size_t>(column)]));
}

std::vector<std::int64_t> CsvTable::find(const std::string& list) const {
  std::vector<std::int64_t> found;
  const auto add = [&](std::string_view name) {
    const auto at = std::ranges::find(names, name);
    if (at == names.end()) {
      throw FileError(
          fmt::format("{}: has no column {}, but {}", file, in_quotes(name), some_of(names)));
    }
    const std::int64_t column = at - names.begin();
    if (std::ranges::find(found, column) != found.end()) {
      throw FileError(fmt::format("{}: column {} is named twice", file, in_quotes(name)));
    }
    found.push_back(column);
  };
  if (std::ranges::find(names, list) != names.end()) {
    // A name may have a comma itself.
    add(list);
    return found;
  }
  for (std::string_view rest = list;;) {
    const std::size_t comma = rest.find(',');
    add(trimmed(rest.substr(0, comma)));
    if (comma == std::string_view::npos) return found;
    rest.remove_prefix(comma + 1);
  }
}

std::string CsvTable::checksum() const {
  Checksum sum;
  for (const std::string& name : names) sum.add_text(name);
  sum.add_numbers(std::span(numbers));
  return sum.text();
}

CsvTable parse_csv(std::string_view text, const std::string& file) {
  CsvTable table = {.file = file, .names = {}, .numbers = {}, .lines = {}};
  FieldReader reader(text, file);
  if (reader.is_at_end()) throw FileError(file + ": is empty");
  if (text.find('\0') != std::string_view::npos) {
    throw FileError(file + ": has a byte 0, so that it is no text");
  }
  table.names = read_names(reader, file);
  if (reader.is_at_end()) throw FileError(file + ": has no rows below the names of the columns");
  while (!reader.is_at_end()) read_row(reader, table);
  return table;
}

CsvTable read_csv(const std::string& path) {
  const std::vector<std::uint8_t> bytes = read_file(path);
  return parse_csv({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace natgrad::trainer
