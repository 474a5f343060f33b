#include "tools/symbols/helpers.h"

#include <algorithm>

#include "tools/common/text_file.h"
#include "tools/symbols/readable_name.h"

namespace memtrace::tools {
namespace {

constexpr std::string_view kUsersOwner = "helpers that you named";

// Patterns as in a user's file, with '|' between them.
struct Helpers {
  std::string_view owner;
  std::string_view patterns;
};
constexpr Helpers kBuiltIn[] = {
    {"the standard library", "std::*|__gnu_cxx::*|operator new*"},
    {"the C library",
     "strdup|__strdup|strndup|__strndup|strdupa|wcsdup|asprintf|vasprintf|__asprintf|__vasprintf|"
     "__asprintf_chk|__vasprintf_chk|__vasprintf_internal|getline|getdelim|__getdelim|fopen|fopen64|"
     "fdopen|_IO_new_fdopen|__fopen_internal|opendir|__alloc_dir|realpath|__realpath|getaddrinfo"},
    // A trait of core for a type of the program is the program's code; the traits of alloc are the library's own.
    {"Rust's library",
     "alloc::*|<alloc::*|<<alloc::*|<* as alloc::*|core::*|<core::*|<<core::*|<std::*|<str>::*|<str as "
     "core::*|<[*]>::*|"
     "hashbrown::*|<hashbrown::*|__rust_*|__rg_*|__rdl_*"},
    {"GLib",
     "g_malloc*|g_realloc*|g_try_malloc*|g_try_realloc*|g_slice_alloc*|g_slice_copy|g_strdup*|g_strndup|"
     "g_strconcat|g_memdup*|g_list_*|g_slist_*|g_queue_*|g_array_*|g_ptr_array_*|g_byte_array_*|"
     "g_hash_table_*|g_string_*"},
    {"Python",
     "PyMem_*|_PyMem_*|PyObject_Malloc|PyObject_Calloc|PyObject_Realloc|_PyObject_Malloc|_PyObject_Calloc|"
     "_PyObject_Realloc|PyType_GenericAlloc|_PyType_AllocNoTrack|_PyObject_GC_*|PyObject_GC_New*"},
    {"Perl", "Perl_safesys*|Perl_safemalloc|Perl_safecalloc|Perl_saferealloc|Perl_savepv*|Perl_savesvpv"},
    {"PHP",
     "_emalloc*|_ecalloc|_erealloc*|_safe_emalloc|_estrdup|_estrndup|__zend_malloc|__zend_calloc|"
     "__zend_realloc"},
    {"node and libuv",
     "uv__malloc|uv__calloc|uv__realloc|uv__strdup|node::Malloc*|node::Realloc*|node::UncheckedMalloc*"},
    {"redis",
     "zmalloc*|zcalloc*|zrealloc*|ztrymalloc*|ztrycalloc*|ztryrealloc*|zstrdup|sdsnew*|_sdsnewlen|lpInsert|lpAppend*|"
     "lpPrepend*|lpNew|sdsdup|"
     "sdstrynewlen|sdscat*|sdsMakeRoomFor*|_sdsMakeRoomFor"},
    {"nginx", "ngx_alloc|ngx_calloc|ngx_memalign|ngx_palloc*|ngx_pnalloc|ngx_pcalloc|ngx_pmemalign|ngx_create_pool"},
    {"SQLite",
     "sqlite3Mem*|sqlite3Malloc*|sqlite3Realloc|sqlite3DbMalloc*|sqlite3DbRealloc*|sqlite3DbStr*Dup|"
     "sqlite3_malloc*|sqlite3_realloc*"},
    {"PostgreSQL", "palloc*|repalloc*|pstrdup|pnstrdup|MemoryContextAlloc*|AllocSet*|pg_malloc*|pg_strdup"},
    {"APR", "apr_palloc*|apr_pcalloc*|apr_pstrdup|apr_allocator_alloc|apr_pool_create_*"},
    {"OpenSSL",
     "CRYPTO_malloc|CRYPTO_zalloc|CRYPTO_realloc|CRYPTO_clear_realloc|CRYPTO_strdup|CRYPTO_strndup|"
     "CRYPTO_memdup"},
    {"libxml2", "xmlStrdup|xmlStrndup|xmlCharStrdup|xmlBufGrow|xmlBufCreate*"},
    {"FFmpeg", "av_malloc*|av_mallocz*|av_calloc|av_realloc*|av_fast_malloc*|av_strdup|av_memdup"},
    {"Swift", "swift_allocObject|swift_slowAlloc|swift_allocBox"},
    {"an allocation wrapper",
     "xmalloc*|xcalloc*|xrealloc*|xstrdup*|xstrndup*|xmemdup*|safe_malloc|safe_calloc|safe_realloc|"
     "emalloc|ecalloc|erealloc|estrdup"},
};

// The function's name in full.
std::string Bound(std::string_view pattern) { return '^' + std::string(pattern) + '$'; }

}  // namespace

HelperTable::HelperTable() {
  for (const Helpers& helpers : kBuiltIn) {
    for (std::string_view rest = helpers.patterns; !rest.empty();) {
      const size_t end = std::min(rest.find('|'), rest.size());
      patterns_.push_back({Bound(rest.substr(0, end)), helpers.owner});
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
}

void HelperTable::Add(std::string_view text) {
  std::vector<Pattern> own;
  for (const Entry& entry : Entries(text)) own.push_back({Bound(entry.text), kUsersOwner});
  patterns_.insert(patterns_.begin(), own.begin(), own.end());
}

std::string_view HelperTable::OwnerOf(std::string_view function) const {
  if (function.empty()) return {};
  const std::string_view name = DivideFunction(function).name;
  for (const Pattern& pattern : patterns_) {
    if (MatchesTemplate(pattern.text, name)) return pattern.owner;
  }
  return {};
}

std::string DefaultHelpersFile() {
  const std::string directory = UserDirectory("XDG_CONFIG_HOME", ".config");
  return directory.empty() ? directory : directory + "/memtrace/helpers";
}

}  // namespace memtrace::tools
