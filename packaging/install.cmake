# SPDX-License-Identifier: EUPL-1.2
# Where `cmake --install` puts things: where Debian would. The example config is documentation: a gateway
# without a federation key to trust does not start, so there is no config that would work as it is.
set(BELFRY_UNIT_DIR "lib/systemd/system" CACHE STRING "Where systemd units go, below the prefix")
set(BELFRY_SYSUSERS_DIR "lib/sysusers.d" CACHE STRING "Where sysusers.d snippets go, below the prefix")
set(BELFRY_TMPFILES_DIR "lib/tmpfiles.d" CACHE STRING "Where tmpfiles.d snippets go, below the prefix")

install(TARGETS belfry RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${CMAKE_CURRENT_LIST_DIR}/belfry.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/belfry.yaml.example ${CMAKE_SOURCE_DIR}/LICENSE
    DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/demo/policy/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples/policy
    FILES_MATCHING PATTERN "*.yaml")
# Filled in when it is installed: only then is the prefix certain.
install(CODE "set(BELFRY_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
    configure_file(\"${CMAKE_CURRENT_LIST_DIR}/belfry.service.in\" \"${CMAKE_BINARY_DIR}/belfry.service\" @ONLY)")
install(FILES ${CMAKE_CURRENT_LIST_DIR}/belfry.socket DESTINATION ${BELFRY_UNIT_DIR})
install(FILES ${CMAKE_BINARY_DIR}/belfry.service DESTINATION ${BELFRY_UNIT_DIR})
install(FILES ${CMAKE_CURRENT_LIST_DIR}/belfry.sysusers DESTINATION ${BELFRY_SYSUSERS_DIR} RENAME belfry.conf)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/belfry.tmpfiles DESTINATION ${BELFRY_TMPFILES_DIR} RENAME belfry.conf)
