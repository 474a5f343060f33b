// A directory tree in a temporary place that stands for the root of a recorded system.
#ifndef MEMTRACE_TESTS_UNIT_RT_RECORDED_TREE_H_
#define MEMTRACE_TESTS_UNIT_RT_RECORDED_TREE_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace memtrace {

class RecordedTree {
 public:
  RecordedTree() {
    std::string name = ::testing::TempDir() + "memtrace-tree-XXXXXX";
    root_ = mkdtemp(name.data());
  }
  ~RecordedTree() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  RecordedTree(const RecordedTree&) = delete;
  RecordedTree& operator=(const RecordedTree&) = delete;

  // Creates the file and the directories above it.
  RecordedTree& Write(const std::string& path, const std::string& content) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << content;
    return *this;
  }
  void Remove(const std::string& path) { std::filesystem::remove_all(root_ + path); }

  const char* root() const { return root_.c_str(); }
  std::string In(const std::string& path) const { return root_ + path; }

 private:
  std::string root_;
};

}  // namespace memtrace

#endif  // MEMTRACE_TESTS_UNIT_RT_RECORDED_TREE_H_
