# frozen_string_literal: true

# Cargo's build of the extension, and a sentence on what to do where something that it needs is
# missing: Cargo's own words for it are in the middle of what a hundred crates print.
module Build
  NATIVE = "With Ruby 3.1, 3.3 or 3.4 on Linux (x86_64, aarch64) there is a gem that is built " \
           "beforehand"

  # Sentences on what to do, by what Cargo, rustc, the C compiler or bindgen print. One is told.
  CAUSES = {
    /No space left on device|os error 28\b/ =>
      "The disk is full. Building takes 700 MB in the gem's directory, which go again, and " \
      "400 MB in Cargo's (CARGO_HOME, or ~/.cargo).",
    /failed to verify the checksum|failed to unpack package|failed to untar|hash mismatch/ =>
      "A crate that was downloaded is broken. Remove registry/ in Cargo's directory (CARGO_HOME, " \
      "or ~/.cargo), and install again.",
    /resolve host|network failure|spurious network error|failed to (?:download|fetch)\b/ =>
      "The crates could not be downloaded. Building needs the network; behind a proxy Cargo " \
      "wants HTTPS_PROXY. #{NATIVE}.",
    /Unable to find libclang|couldn't find any valid shared libraries matching.*libclang/ =>
      "libclang is missing; it reads Ruby's headers. Debian: apt-get install libclang-dev; " \
      "Fedora: dnf install clang-devel; LIBCLANG_PATH says where it is elsewhere. #{NATIVE}.",
    %r{'ruby(?:/[^']*)?\.h' file not found|ruby\.h: No such file} =>
      "Ruby's headers are missing. Debian: apt-get install ruby-dev; Fedora: dnf install " \
      "ruby-devel.",
    /linker `[^`]+` not found|failed to find tool|is `?(?:cc|gcc|clang)`? installed\?/ =>
      "The C compiler is missing. Debian: apt-get install gcc libc6-dev.",
    %r{'(?:std\w+|sys/\w+)\.h' file not found} =>
      "The C library's headers are missing. Debian: apt-get install gcc libc6-dev.",
    /signal: 9, SIGKILL|Cannot allocate memory|memory allocation of \d+ bytes failed/ =>
      "There was not enough memory. With CARGO_BUILD_JOBS=1 and CARGO_PROFILE_RELEASE_LTO=off in " \
      "the environment building takes less.",
    /rustc \S+ is not supported by|requires rustc \d/ =>
      "rustc is older than Cargo is. Debian 12 and 13 have a newer one as the package rustc-web."
  }.freeze

  # Runs a command, prints what it prints, and exits as it does.
  def self.run(*command)
    cause = nil
    IO.popen([*command, { err: %i[child out] }]) do |output|
      output.each_line do |line|
        print line
        cause ||= CAUSES.find { |pattern, _| line.scrub.match?(pattern) }&.last
      end
    end
    return if Process.last_status.success?

    abort "\nem-websocket-rs was not built. #{cause || "Above is why."}"
  rescue SystemCallError => e
    abort "em-websocket-rs was not built: #{e.message}"
  end
end

if $PROGRAM_NAME == __FILE__
  $stdout.sync = true
  Build.run(*ARGV)
end
