# frozen_string_literal: true

require_relative "checkout"
require_relative "chroot"
require_relative "native/platform"

# The specs on one of Debian's versions of Ruby, in a chroot of the suite that has it.
class RubySuite
  # Packages to build with, and those that the specs want; clients of npm and PyPI are left out,
  # and with them the examples that want those.
  PACKAGES = %w[ca-certificates gcc g++ libc6-dev libclang-dev libssl-dev make openssl rake procps
                ruby-rspec ruby-websocket xz-utils].freeze
  PACKAGED = %w[ruby-eventmachine ruby-http-parser.rb ruby-em-websocket].freeze
  SPECS = %w[spec/unit spec/integration spec/packaging/require_spec.rb].freeze
  # As a Ruby that is not the suite's own needs them.
  PROGRAMS = { "rake" => "/usr/bin/rake", "rspec" => "/usr/bin/rspec" }.freeze

  # @param root [String] the working tree
  # @param ruby [NativeRuby]
  # @param directory [String] for the chroot
  def initialize(root, ruby, directory)
    @root = root
    @ruby = ruby
    @chroot = Chroot.new(directory, *ruby.suites)
  end

  # @param specs [Array<String>] files or directories
  # @return [Boolean] whether all passed
  def run(specs)
    @chroot.make
    install
    Checkout.copy(@root, @chroot.path("src"))
    step("Compiling")
    @chroot.run("rake", "compile", env: environment, chdir: "/src")
    step("Running #{specs.join(" ")}")
    system(*@chroot.enter("rspec", *specs, env: environment, chdir: "/src"))
  end

  private

  def step(text)
    puts text
    $stdout.flush
  end

  def environment
    # What is tried is Ruby's side: the optimiser's last tenth would take most of the time.
    { "LC_ALL" => "C.UTF-8", "CI" => "true", "CARGO_PROFILE_RELEASE_LTO" => "off",
      "CARGO_PROFILE_RELEASE_CODEGEN_UNITS" => "16" }.merge(
        @ruby.eventmachine ? {} : { "RUBYLIB" => "/opt/eventmachine/lib" }
      )
  end

  def install
    step("Installing Ruby #{@ruby} and Rust")
    @chroot.run("apt-get", "update", "--quiet")
    rust = @ruby.suites.include?("sid") ? %w[cargo rustc] : %w[cargo-web rustc-web]
    @chroot.run("apt-get", "install", "--yes", "--quiet", *rust, *PACKAGES,
                *(@ruby.eventmachine ? PACKAGED : []))
    ruby = ["ruby#{@ruby}", "ruby#{@ruby}-dev"]
    @chroot.run("apt-get", "install", "--yes", "--quiet", "--target-release", @ruby.suites.last,
                *ruby)
    use_another_ruby unless @ruby.eventmachine
  end

  # /usr/local comes before /usr; EventMachine is built from Debian's source.
  def use_another_ruby
    FileUtils.ln_sf("/usr/bin/ruby#{@ruby}", @chroot.path("usr/local/bin/ruby"))
    PROGRAMS.each do |name, program|
      wrapper = @chroot.path("usr/local/bin/#{name}")
      File.write(wrapper, "#!/bin/sh\nexec /usr/bin/ruby#{@ruby} #{program} \"$@\"\n")
      File.chmod(0o755, wrapper)
    end
    step("Building EventMachine for it")
    @chroot.run("sh", "-ec", <<~SH, chdir: "/opt")
      apt-get source --download-only --tar-only ruby-eventmachine
      mkdir -p eventmachine
      tar -xf ruby-eventmachine_*.orig.tar.* -C eventmachine --strip-components=1
      cd eventmachine/ext
      ruby extconf.rb && make && cp rubyeventmachine.so ../lib/
    SH
  end
end
