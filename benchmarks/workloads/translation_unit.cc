// What `clang -cc1` compiles in peers: millions of allocations from deep stacks.
#include <functional>
#include <map>
#include <regex>
#include <string>

int CountWords(const std::string& text, std::map<std::string, int>& counts) {
  static const std::regex kWord("[A-Za-z]+");
  const std::function<void(const std::string&)> count = [&](const std::string& word) { ++counts[word]; };
  int words = 0;
  for (std::sregex_iterator it(text.begin(), text.end(), kWord), end; it != end; ++it, ++words) count(it->str());
  return words;
}
