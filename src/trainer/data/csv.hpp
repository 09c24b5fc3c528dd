#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace natgrad::trainer {

/// A table of finite numbers whose columns have names.
struct CsvTable {
  std::string file;                 // begins error texts
  std::vector<std::string> names;   // of the columns, no two alike
  std::vector<double> numbers;      // (rows, columns)
  std::vector<std::int64_t> lines;  // (rows) where each begins in the file, from 1

  std::int64_t rows() const { return static_cast<std::int64_t>(lines.size()); }
  std::int64_t columns() const { return static_cast<std::int64_t>(names.size()); }
  double at(std::int64_t row, std::int64_t column) const {
    return numbers[static_cast<std::size_t>(row * columns() + column)];
  }

  /// "data.csv: line 3, column 2 ("age")"
  std::string place(std::int64_t row, std::int64_t column) const;
  /// The columns that `list` names, in its order: one name, or several with commas between them.
  /// Throws `FileError` for a name that no column has or that is given twice.
  std::vector<std::int64_t> find(const std::string& list) const;
  /// Of names and numbers, however they are written in the file.
  std::string checksum() const;
};

/// Reads comma-separated values (RFC 4180), plain or gzip: a line of names, then lines of numbers.
/// Lines end in LF or CR LF, a field may stand in double quotes, blanks around it are none of it,
/// and empty lines at the end count for nothing. A number becomes the nearest double, one that is
/// too small for any (1e-400) 0. Throws `FileError` naming file, line and column where a value is
/// missing, no finite number or beyond the largest double, a row has more or fewer values than
/// there are names, a name is missing or given twice, or a quote is not closed; where there are no
/// rows; and as `read_file`.
CsvTable read_csv(const std::string& path);

/// The same for text in memory; `file` begins error texts.
CsvTable parse_csv(std::string_view text, const std::string& file);

}  // namespace natgrad::trainer
