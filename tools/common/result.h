// What a function of the tools returns when it can fail for a reason that the user must read.
#ifndef MEMTRACE_TOOLS_COMMON_RESULT_H_
#define MEMTRACE_TOOLS_COMMON_RESULT_H_

#include <string>
#include <utility>
#include <variant>

namespace memtrace::tools {

enum class ErrorCode {
  kUsage,           // the command line asks for what cannot be
  kUnreadable,      // the operating system refused; context holds its reason
  kNotRecording,    // the content is something else
  kUnknownVersion,  // written by a memtrace that this one does not know
  kNotDelivered,    // a server did not take it
};

// message: what was tried, on what, and what to do; context: why it failed, may be empty.
struct Error {
  ErrorCode code;
  std::string message;
  std::string context;

  std::string Text() const { return context.empty() ? message : message + ": " + context; }
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor): `return value;`
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor): `return Error{...};`

  bool ok() const { return state_.index() == 0; }
  // Require ok().
  const T& value() const& { return std::get<0>(state_); }
  T& value() & { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  // Requires !ok().
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_COMMON_RESULT_H_
