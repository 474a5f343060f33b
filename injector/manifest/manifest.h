// Sets the library up for a service: the override file, the patched manifest, the command line that a user would else
// write by hand.
#ifndef MEMTRACE_INJECTOR_MANIFEST_MANIFEST_H_
#define MEMTRACE_INJECTOR_MANIFEST_MANIFEST_H_

#include <string>
#include <utility>
#include <vector>

namespace memtrace::injector {

// What is put into the container, and where.
struct Injection {
  std::string library = {};        // on the host, for compose and docker: what `memtrace lib` prints
  std::string image = "memtrace";  // for Kubernetes: has `/memtrace install DIR`
  std::string volume = "memtrace";
  std::string directory = "/memtrace";  // in the container: the library's directory; recordings go to a folder of it
  std::vector<std::pair<std::string, std::string>> variables = {};  // more MEMTRACE_ ones
};

// Either a text or an error.
struct ManifestOutcome {
  std::string text;
  std::string error;  // empty: `text` is right
};

// Path of the library in the container, and all the variables, LD_PRELOAD (`existing` is kept) first.
std::vector<std::pair<std::string, std::string>> InjectedVariables(const Injection& injection,
                                                                   const std::string& existing_preload);

// An override file for `docker compose -f FILE -f OVERRIDE`: environment and volumes of the named services, nothing
// else.
ManifestOutcome ComposeOverride(const std::string& manifest, const std::vector<std::string>& services,
                                const Injection& injection);

// The manifest with an init container, an emptyDir and the environment in every pod that it describes, or in the named
// containers only. All other text stays as it is, comments included.
ManifestOutcome PatchKubernetes(const std::string& manifest, const std::vector<std::string>& containers,
                                const Injection& injection);

// `docker run ...` with the options put in; without a command line only the options.
ManifestOutcome DockerRunLine(const std::vector<std::string>& command, const Injection& injection);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_MANIFEST_MANIFEST_H_
