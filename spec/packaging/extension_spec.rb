# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"
require_relative "../apps/program"

# The library's files as a gem has them that was built beforehand: a directory for each version.
RSpec.describe "the extension of a gem that was built beforehand", :extension do
  version = RUBY_VERSION[/\A\d+\.\d+/]
  built = File.join(Program::LIBRARY, "em-websocket", "em_websocket_rs.so")

  around do |example|
    Dir.mktmpdir("gem") do |directory|
      @library = File.join(directory, "lib")
      FileUtils.mkdir(@library)
      Dir.glob("**/*.rb", base: Program::LIBRARY) do |name|
        put(File.join(Program::LIBRARY, name), name)
      end
      example.run
    end
  end

  def put(from, name)
    target = File.join(@library, name)
    FileUtils.mkdir_p(File.dirname(target))
    FileUtils.cp(from, target)
  end

  def place(version) = "em-websocket/#{version}/em_websocket_rs.so"

  # Text that a program prints that requires it, or what the LoadError says.
  def required
    program = <<~RUBY
      begin
        require "em-websocket-rs"
        print $LOADED_FEATURES.grep(/em_websocket_rs/).first
      rescue LoadError => e
        print e.message
      end
    RUBY
    env = { "RUBYOPT" => nil, "RUBYLIB" => nil, "BUNDLE_GEMFILE" => nil }
    Open3.capture2(env, RbConfig.ruby, "-I", @library, "-e", program).first
  end

  it "is that of the version of Ruby that runs" do
    put(built, place(version))
    put("/dev/null", place("2.7"))

    expect(required).to end_with(place(version)).and start_with(@library)
  end

  it "comes before one that was built for a working tree" do
    put(built, place(version))
    put(built, "em-websocket/em_websocket_rs.so")

    expect(required).to end_with(place(version))
  end

  it "is not that of another version: what it is for is said, and which gem is for this one" do
    put(built, place("10.0"))
    put(built, place("2.7"))

    expect(required).to include("for Ruby 2.7, 10.0, and not for #{version}")
      .and include("gem install em-websocket-rs --platform ruby")
      .and include("force_ruby_platform: true")
  end

  it "says why where the system cannot load it, and which gem can be tried" do
    put(File.join(Program::ROOT, "LICENSE"), place(version))

    expect(required).to match(/invalid ELF header|file too short/)
      .and include("glibc 2.17 or newer").and include("gem install em-websocket-rs --platform ruby")
  end

  it "says so where it is for another processor" do
    put(built, place(version))
    # The field e_machine of ELF's header.
    File.open(File.join(@library, place(version)), "r+b") { |file| file.pwrite("\xff\xff".b, 18) }

    expect(required).to include(place(version)).and include("on the processor that its name says")
  end

  it "is looked for on the load path where the library has none beside it" do
    elsewhere = File.join(File.dirname(@library), "extensions")
    FileUtils.mkdir_p(File.join(elsewhere, "em-websocket"))
    FileUtils.cp(built, File.join(elsewhere, "em-websocket"))
    program = 'require "em-websocket-rs"; print $LOADED_FEATURES.grep(/em_websocket_rs/).first'

    found, = Open3.capture2({ "RUBYOPT" => nil }, RbConfig.ruby, "-I", @library, "-I", elsewhere,
                            "-e", program)
    expect(found).to start_with(elsewhere)
  end
end
