# SPDX-License-Identifier: EUPL-1.2
# Turns the pages of this folder and page.css into pages.c in the build tree: comments and indentation taken out, as
# bytes, with the style sheet's SHA-256: the content security policy names it, and so does the sheet's own address.
# Included by the build, and run by it as a script.

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
    file(GLOB PAGES ${FOLDER}/*.html)
    set(ARRAYS "")
    foreach(PAGE ${PAGES})
        get_filename_component(NAME ${PAGE} NAME_WE)
        file(READ "${PAGE}" HTML)
        string(REGEX REPLACE "<!--([^-]|-[^-])*-->[ \n]*" "" HTML "${HTML}")
        string(REGEX REPLACE "\n *" "\n" HTML "${HTML}")
        array_of(page_${NAME}_html "${HTML}" HTML)
        string(APPEND ARRAYS "${HTML}")
    endforeach()
    file(READ "${FOLDER}/page.css" CSS)
    string(REGEX REPLACE "/\\*([^*]|\\*[^/])*\\*/" "" CSS "${CSS}")
    string(REGEX REPLACE "[ \n]+" " " CSS "${CSS}")
    string(REGEX REPLACE " ?([{};,]) ?" "\\1" CSS "${CSS}")
    string(REPLACE ": " ":" CSS "${CSS}")
    string(REPLACE ";}" "}" CSS "${CSS}")
    string(STRIP "${CSS}" CSS)
    string(SHA256 HEX "${CSS}")
    base64_of("${HEX}" DIGEST)
    string(SUBSTRING "${HEX}" 0 16 HEX)
    array_of(page_css "${CSS}" CSS)
    file(WRITE "${OUT}" "/* Made by proxy/pages/pages.cmake. */\n#include \"proxy/pages/pages.h\"\n\n${ARRAYS}${CSS}const char page_css_sha256[] = \"${DIGEST}\";\nconst char page_css_path[] = \"/.belfry/assets/${HEX}.css\";\n")
    return()
endif()

set(PAGES_DIR ${CMAKE_SOURCE_DIR}/proxy/pages)
file(GLOB PAGES_HTML CONFIGURE_DEPENDS ${PAGES_DIR}/*.html)
add_custom_command(
    OUTPUT ${CMAKE_BINARY_DIR}/pages.c
    COMMAND ${CMAKE_COMMAND} -DFOLDER=${PAGES_DIR} -DOUT=${CMAKE_BINARY_DIR}/pages.c -P ${PAGES_DIR}/pages.cmake
    DEPENDS ${PAGES_HTML} ${PAGES_DIR}/page.css ${PAGES_DIR}/pages.cmake
    VERBATIM)
target_sources(belfry_proxy PRIVATE ${CMAKE_BINARY_DIR}/pages.c)
