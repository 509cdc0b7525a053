# SPDX-License-Identifier: EUPL-1.2
# Turns page.html and page.css into pages.c in the build tree: comments and indentation taken out, as
# bytes, and with the SHA-256 of the style sheet that the content security policy names. Included by the build, and run
# by it as a script.

# HEX (an even number of digits) → base64 of its bytes.
function(base64_of HEX OUT)
    set(ALPHABET ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/)
    string(LENGTH "${HEX}" LENGTH)
    set(TEXT "")
    set(AT 0)
    while(AT LESS LENGTH)
        string(SUBSTRING "${HEX}" ${AT} 6 GROUP)
        string(LENGTH "${GROUP}" DIGITS)
        string(SUBSTRING "${GROUP}0000" 0 6 GROUP)
        math(EXPR CHARACTERS "${DIGITS} / 2")
        foreach(I RANGE 3)
            math(EXPR INDEX "(0x${GROUP} >> (18 - 6 * ${I})) & 63")
            string(SUBSTRING "${ALPHABET}" ${INDEX} 1 CHARACTER)
            if(I GREATER CHARACTERS)
                set(CHARACTER "=")
            endif()
            string(APPEND TEXT "${CHARACTER}")
        endforeach()
        math(EXPR AT "${AT} + 6")
    endwhile()
    set(${OUT} "${TEXT}" PARENT_SCOPE)
endfunction()

# TEXT as an array of bytes of that name.
function(array_of NAME TEXT OUT)
    string(HEX "${TEXT}" BYTES)
    string(REGEX REPLACE "(..)" "0x\\1," BYTES "${BYTES}")
    set(${OUT} "const unsigned char ${NAME}[] = {${BYTES}};\nconst size_t ${NAME}_len = sizeof ${NAME};\n" PARENT_SCOPE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE)
    file(READ "${FOLDER}/page.html" HTML)
    string(REGEX REPLACE "<!--([^-]|-[^-])*-->[ \n]*" "" HTML "${HTML}")
    string(REGEX REPLACE "\n *" "\n" HTML "${HTML}")
    file(READ "${FOLDER}/page.css" CSS)
    string(REGEX REPLACE "/\\*([^*]|\\*[^/])*\\*/" "" CSS "${CSS}")
    string(REGEX REPLACE "[ \n]+" " " CSS "${CSS}")
    string(REGEX REPLACE " ?([{};,]) ?" "\\1" CSS "${CSS}")
    string(REPLACE ": " ":" CSS "${CSS}")
    string(REPLACE ";}" "}" CSS "${CSS}")
    string(STRIP "${CSS}" CSS)
    string(SHA256 DIGEST "${CSS}")
    base64_of("${DIGEST}" DIGEST)
    array_of(page_html "${HTML}" HTML)
    array_of(page_css "${CSS}" CSS)
    file(WRITE "${OUT}" "/* Made by proxy/pages/pages.cmake. */\n#include \"proxy/pages/pages.h\"\n\n${HTML}${CSS}const char page_css_sha256[] = \"${DIGEST}\";\n")
    return()
endif()

set(PAGES_DIR ${CMAKE_SOURCE_DIR}/proxy/pages)
add_custom_command(
    OUTPUT ${CMAKE_BINARY_DIR}/pages.c
    COMMAND ${CMAKE_COMMAND} -DFOLDER=${PAGES_DIR} -DOUT=${CMAKE_BINARY_DIR}/pages.c -P ${PAGES_DIR}/pages.cmake
    DEPENDS ${PAGES_DIR}/page.html ${PAGES_DIR}/page.css ${PAGES_DIR}/pages.cmake
    VERBATIM)
target_sources(belfry_proxy PRIVATE ${CMAKE_BINARY_DIR}/pages.c)
