// Functions that only pass an allocation on: the reader of a stack wants their caller. A table of patterns, which users
// extend by a file.
#ifndef MEMTRACE_TOOLS_SYMBOLS_HELPERS_H_
#define MEMTRACE_TOOLS_SYMBOLS_HELPERS_H_

#include <string>
#include <string_view>
#include <vector>

namespace memtrace::tools {

class HelperTable {
 public:
  HelperTable();  // the built-in patterns

  // Adds patterns, which come before those that are there. A line is a pattern, in which '*' stands for any text; empty
  // lines and those that begin with # say nothing.
  void Add(std::string_view text);

  // Whose helper a function is ("the standard library"); empty if it is none. What is compared is its name without
  // return type and arguments.
  std::string_view OwnerOf(std::string_view function) const;

 private:
  struct Pattern {
    std::string text;  // see MatchesTemplate
    std::string_view owner;
  };
  std::vector<Pattern> patterns_;
};

// $XDG_CONFIG_HOME/memtrace/helpers, or the same in ~/.config; empty without a home.
std::string DefaultHelpersFile();

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_HELPERS_H_
