// One parser per MEMTRACE_ variable; see Variable::parse in options.h. Spaces around a value are
// ignored, words count in any case.
#ifndef MEMTRACE_CONFIG_PARSERS_H_
#define MEMTRACE_CONFIG_PARSERS_H_

#include "libmemtrace/config/options.h"

namespace memtrace::config {

bool ParseDirectory(rt::Text value, Options* options);
bool ParseSample(rt::Text value, Options* options);
bool ParseBudget(rt::Text value, Options* options);
bool ParseSignal(rt::Text value, Options* options);
bool ParseSnapshotAt(rt::Text value, Options* options);
bool ParseKeep(rt::Text value, Options* options);
bool ParseKeepFiles(rt::Text value, Options* options);
bool ParseMax(rt::Text value, Options* options);
bool ParseFollow(rt::Text value, Options* options);
bool ParseOnly(rt::Text value, Options* options);
bool ParseSkip(rt::Text value, Options* options);
bool ParseDepth(rt::Text value, Options* options);
bool ParseCommand(rt::Text value, Options* options);
bool ParseTerminationLog(rt::Text value, Options* options);
bool ParseReachability(rt::Text value, Options* options);
bool ParseQuiet(rt::Text value, Options* options);
bool ParseSeed(rt::Text value, Options* options);
bool ParseUnwinder(rt::Text value, Options* options);
bool ParseRun(rt::Text value, Options* options);

}  // namespace memtrace::config

#endif  // MEMTRACE_CONFIG_PARSERS_H_
