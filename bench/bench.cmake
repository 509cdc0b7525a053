# SPDX-License-Identifier: EUPL-1.2
# Measurements, one program a question: bench/NOUN.c, and what stands in bench/NOUN/ if it has more than one file.
# Built on demand, in Release: `ninja bench_decide && ./bench_decide`, or `ninja benches` for all.
file(GLOB BENCHES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/*.c)
foreach(SOURCE ${BENCHES})
    get_filename_component(NOUN ${SOURCE} NAME_WE)
    file(GLOB MORE CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bench/${NOUN}/*.c)
    add_executable(bench_${NOUN} EXCLUDE_FROM_ALL ${SOURCE} ${MORE})
    target_link_libraries(bench_${NOUN} PRIVATE belfry_proxy)
    list(APPEND BENCH_TARGETS bench_${NOUN})
endforeach()
add_custom_target(benches DEPENDS ${BENCH_TARGETS})
