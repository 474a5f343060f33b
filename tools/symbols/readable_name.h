// Names of functions as a reader wants them in a line of text: without what every instantiation repeats.
#ifndef MEMTRACE_TOOLS_SYMBOLS_READABLE_NAME_H_
#define MEMTRACE_TOOLS_SYMBOLS_READABLE_NAME_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace memtrace::tools {

// The parts of a demangled function. Views into the text that was divided.
struct FunctionParts {
  std::string_view name;       // without the return type, which instantiations of templates carry
  bool has_arguments = false;  // something stood behind the name: "(int)", "() const [clone .cold]"
};
FunctionParts DivideFunction(std::string_view function);

// std::string for what is spelled std::__cxx11::basic_string<char, ...>, no default arguments of the standard
// library's templates, no blank before a closing bracket.
std::string ReadableName(std::string_view function);

// The readable name without its arguments; if it is still long, without those of templates: for a sentence.
std::string BareName(std::string_view function);

// The end of a qualified name, from the first scope on that leaves at most `columns` characters
// ("...RequestQueue::Push"); the last part whole, even if it is longer.
std::string TailOfName(std::string_view name, size_t columns);

// The first of these that has at most `columns` characters: the readable name; with its arguments as "(...)"; without
// them; with template arguments as "<...>" too. The last one if none has.
std::string NameWithin(std::string_view function, size_t columns);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_READABLE_NAME_H_
