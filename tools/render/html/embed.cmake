# cmake -DOUTPUT=FILE -DSTYLES=A;B -DSCRIPTS=C;D -P embed.cmake
# Writes a C++ file that defines kHtmlParts of tools/render/html.h.

# Sources in one text. Semicolons and brackets in it are nothing to CMake as long as it stays quoted.
function(join files result)
  set(text "")
  foreach(file IN LISTS files)
    file(READ "${file}" part)
    string(APPEND text "${part}")
  endforeach()
  set(${result} "${text}" PARENT_SCOPE)
endfunction()

# Three bytes are four digits.
function(base64 hex result)
  set(digits ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/)
  string(LENGTH "${hex}" length)
  math(EXPR padding "(6 - ${length} % 6) % 6 / 2")
  string(REPEAT "00" ${padding} zeroes)
  set(hex "${hex}${zeroes}")
  set(text "")
  math(EXPR last "${length} - 1")
  foreach(at RANGE 0 ${last} 6)
    string(SUBSTRING "${hex}" ${at} 6 group)
    foreach(shift 18 12 6 0)
      math(EXPR index "(0x${group} >> ${shift}) & 63")
      string(SUBSTRING "${digits}" ${index} 1 digit)
      string(APPEND text "${digit}")
    endforeach()
  endforeach()
  string(LENGTH "${text}" length)
  math(EXPR length "${length} - ${padding}")
  string(SUBSTRING "${text}" 0 ${length} text)
  string(REPEAT "=" ${padding} tail)
  set(${result} "${text}${tail}" PARENT_SCOPE)
endfunction()

function(sha256 text result)
  string(SHA256 hex "${text}")
  base64("${hex}" hash)
  set(${result} "${hash}" PARENT_SCOPE)
endfunction()

join("${STYLES}" style)
join("${SCRIPTS}" script)
# The browser hashes what stands between the tags.
sha256("${style}" style_hash)
sha256("${script}" script_hash)
file(WRITE "${OUTPUT}" "#include \"tools/render/html.h\"\n\n"
  "namespace memtrace::tools {\n\n"
  "const HtmlParts kHtmlParts = {R\"memtrace(${style})memtrace\",\nR\"memtrace(${script})memtrace\",\n"
  "\"${style_hash}\", \"${script_hash}\"};\n\n}  // namespace memtrace::tools\n")
