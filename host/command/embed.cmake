# SPDX-License-Identifier: Apache-2.0
# Makes a .cpp that holds files, byte for byte:
#
#     cmake -D OUTPUT=page_files.cpp -D NAMESPACE=cubome::command -D "INPUTS=page.css;page.js" -P embed.cmake
#
# Each becomes a `const std::string_view` that is named after its file: page_css, page_js.

foreach(needed OUTPUT NAMESPACE INPUTS)
    if("${${needed}}" STREQUAL "")
        message(FATAL_ERROR "embed.cmake: ${needed} is not given")
    endif()
endforeach()

set(bytes_per_line 28)
set(text "// Made by embed.cmake: change the files that it was made of.\n#include <string_view>\n\nnamespace ${NAMESPACE} {\n")
foreach(input IN LISTS INPUTS)
    get_filename_component(name "${input}" NAME)
    string(MAKE_C_IDENTIFIER "${name}" name)
    file(READ "${input}" hex HEX)
    string(LENGTH "${hex}" num_digits)
    math(EXPR num_bytes "${num_digits} / 2")
    math(EXPR step "2 * ${bytes_per_line}")
    string(APPEND text "\nextern const std::string_view ${name};\nconstinit const std::string_view ${name}{\n")
    set(at 0)
    while(at LESS num_digits)
        string(SUBSTRING "${hex}" ${at} ${step} line)
        string(REGEX REPLACE "(..)" "\\\\x\\1" line "${line}")
        string(APPEND text "    \"${line}\"\n")
        math(EXPR at "${at} + ${step}")
    endwhile()
    string(APPEND text "    \"\",\n    ${num_bytes}};\n")
endforeach()
string(APPEND text "\n}  // namespace ${NAMESPACE}\n")
file(WRITE "${OUTPUT}" "${text}")
