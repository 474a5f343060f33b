#include "tools/symbols/readable_name.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace memtrace::tools {
namespace {

// Only a hostile file has longer names, and replacing in them costs the square of it.
constexpr size_t kLongestName = 16384;
// Template arguments of a longer name are more than a sentence can carry.
constexpr size_t kSentenceColumns = 64;
constexpr std::string_view kLongOperators[] = {
    "<=>", "<<=", ">>=", "->*", "()", "[]", "<<", ">>", "<=", ">=", "->", "==", "!=",
    "&&",  "||",  "++",  "--",  "+=", "-=", "*=", "/=", "%=", "^=", "&=", "|=", "\"\""};
constexpr std::string_view kAnonymous = "(anonymous namespace)";
// A return type that is spelled as an expression: its brackets hold no arguments.
constexpr std::string_view kDecltype = "decltype";

bool IsWordCharacter(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// How many characters an operator's name has at `text`, which begins with "operator"; 0 if it is a longer word. A
// conversion or new and delete go on to the arguments: their blanks divide nothing.
size_t OperatorLength(std::string_view text) {
  constexpr size_t kWord = 8;
  if (text.size() <= kWord || IsWordCharacter(text[kWord])) return 0;
  if (text[kWord] == ' ') return std::min(text.find('(', kWord), text.size());
  // What is left is one character, and "operator+<int>" a template. "operator< <int>" has a blank.
  for (const std::string_view symbol : kLongOperators) {
    if (text.substr(kWord).starts_with(symbol)) return kWord + symbol.size();
  }
  return kWord + 1;
}

// The position behind the bracket that closes the one at `begin`; the end if none does.
size_t PastBracket(std::string_view text, size_t begin) {
  size_t depth = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '<' || c == '(' || c == '{' || c == '[') ++depth;
    const bool arrow = c == '>' && i > 0 && text[i - 1] == '-';
    if ((c == '>' && !arrow) || c == ')' || c == '}' || c == ']') {
      if (--depth == 0) return i + 1;
    }
  }
  return text.size();
}

void ReplaceAll(std::string_view from, std::string_view to, std::string* text) {
  for (size_t at = text->find(from); at != std::string::npos; at = text->find(from, at + to.size()))
    text->replace(at, from.size(), to);
}

// Text between brackets "<" and ">" at the outermost level becomes "<...>". Where a name begins with such a bracket, as
// Rust's "<shop::Table<u8> as shop::Store>::insert::<u64>", it says whose function it is: what is in it is shortened
// likewise, at so many levels; and type arguments of the function itself are left out.
std::string WithoutTemplateArguments(std::string_view name, int levels = 3) {
  constexpr std::string_view kTurbofish = "::<";
  std::string text;
  for (size_t i = 0; i < name.size();) {
    const bool is_qualified = i == 0 && levels > 0 && name[0] == '<' && PastBracket(name, 0) > 2;
    if (name.substr(i).starts_with("operator")) {
      const size_t length = OperatorLength(name.substr(i));
      text += name.substr(i, length > 0 ? length : 1);
      i += length > 0 ? length : 1;
    } else if (is_qualified) {
      i = PastBracket(name, 0);
      text = '<' + WithoutTemplateArguments(name.substr(1, i - 2), levels - 1) + '>';
    } else if (name.substr(i).starts_with(kTurbofish) && !name.substr(i).starts_with("::<lambda")) {
      i = PastBracket(name, i + kTurbofish.size() - 1);
    } else if (name[i] == '<') {
      text += "<...>";
      i = PastBracket(name, i);
    } else {
      text += name[i++];
    }
  }
  return text;
}

constexpr std::pair<std::string_view, std::string_view> kSpellings[] = {
    {"std::__cxx11::", "std::"},
    {"[abi:cxx11]", ""},
    {"std::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string"},
    {"std::basic_string<char, std::char_traits<char>, std::allocator<char>>", "std::string"},
    {"std::basic_string_view<char, std::char_traits<char> >", "std::string_view"},
    {"std::basic_string_view<char, std::char_traits<char>>", "std::string_view"},
};

// Template arguments that stand for themselves unless someone chose others, and then the choice is in another's name.
constexpr std::string_view kDefaultArguments[] = {", std::allocator<",      ", std::char_traits<", ", std::less<",
                                                  ", std::default_delete<", ", std::hash<",        ", std::equal_to<"};

}  // namespace

FunctionParts DivideFunction(std::string_view function) {
  size_t begin = 0;
  for (size_t i = 0; i < function.size();) {
    const std::string_view rest = function.substr(i);
    const bool word_begins = i == 0 || !IsWordCharacter(function[i - 1]);
    const size_t operator_length = word_begins && rest.starts_with("operator") ? OperatorLength(rest) : 0;
    if (rest.starts_with(kAnonymous)) {
      i += kAnonymous.size();
    } else if (word_begins && (rest.starts_with("decltype(") || rest.starts_with("decltype ("))) {
      i = PastBracket(function, function.find('(', i + kDecltype.size()));
    } else if (operator_length > 0) {
      i += operator_length;
    } else if (rest[0] == '<' || rest[0] == '{' || rest[0] == '[') {
      i = PastBracket(function, i);
    } else if (rest[0] == '(') {
      // What is local to a function has that function's arguments in the middle of its name.
      const size_t end = PastBracket(function, i);
      const std::string_view after = function.substr(end);
      if (!after.starts_with("::") && !after.starts_with(" const::")) return {function.substr(begin, i - begin), true};
      i = end + after.find("::");
    } else {
      if (rest.starts_with(" [")) return {function.substr(begin, i - begin), true};
      if (rest[0] == ' ' && !rest.starts_with(" <")) begin = i + 1;  // not in operator<< <int>
      ++i;
    }
  }
  return {function.substr(begin), false};
}

std::string ReadableName(std::string_view function) {
  std::string name(function);
  if (name.size() > kLongestName) return name;
  for (const auto& [from, to] : kSpellings) ReplaceAll(from, to, &name);
  for (const std::string_view argument : kDefaultArguments) {
    for (size_t at = name.find(argument); at != std::string::npos; at = name.find(argument, at))
      name.erase(at, PastBracket(name, at + argument.size() - 1) - at);
  }
  for (size_t at = name.find(" >"); at != std::string::npos; at = name.find(" >", at)) name.erase(at, 1);
  return name;
}

std::string BareName(std::string_view function) {
  const std::string readable = ReadableName(function);
  const std::string_view name = DivideFunction(readable).name;
  return name.size() <= kSentenceColumns ? std::string(name) : WithoutTemplateArguments(name);
}

std::string TailOfName(std::string_view name, size_t columns) {
  constexpr std::string_view kCut = "...";
  if (name.size() <= columns) return std::string(name);
  std::string_view tail = name;
  for (size_t i = 0; i < name.size() && tail.size() + kCut.size() > columns;) {
    if (name.substr(i).starts_with(kAnonymous)) {
      i += kAnonymous.size();
    } else if (const char c = name[i]; c == '<' || c == '(' || c == '{' || c == '[') {
      i = PastBracket(name, i);
    } else if (name.substr(i).starts_with("::")) {
      tail = name.substr(i += 2);
    } else if (name.substr(i).starts_with("operator")) {
      break;  // its symbols are no brackets
    } else {
      ++i;
    }
  }
  return tail.size() == name.size() ? std::string(name) : std::string(kCut).append(tail);
}

std::string NameWithin(std::string_view function, size_t columns) {
  const std::string readable = ReadableName(function);
  if (readable.size() <= columns) return readable;
  const FunctionParts parts = DivideFunction(readable);
  std::string name(parts.name);
  if (parts.has_arguments && name.size() + 5 <= columns) return name + "(...)";
  return name.size() <= columns ? name : WithoutTemplateArguments(name);
}

}  // namespace memtrace::tools
