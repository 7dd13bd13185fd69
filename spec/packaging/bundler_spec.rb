# frozen_string_literal: true

require "json"
require "open3"
require_relative "../apps/program"

# The gem of the old name, in the Gemfile that README.md shows.
RSpec.describe "the gem em-websocket of this repository", :extension, timeout: 90 do
  gemspec = File.join(Program::ROOT, "compat", "em-websocket.gemspec")

  ["~> 0.5", "~> 0.5.1", "~> 0.5.3", ">= 0.5.3", "< 0.6"].each do |requirement|
    it "is what pins em-websocket #{requirement}" do
      spec = Gem::Specification.load(gemspec)

      expect(spec.name).to eq("em-websocket")
      expect(Gem::Requirement.new(requirement)).to be_satisfied_by(spec.version)
    end
  end

  it "is a dependency on this version of em-websocket-rs, and brings what em-websocket brought" do
    needed = Gem::Specification.load(gemspec).runtime_dependencies
    version = EventMachine::Websocket::VERSION

    expect(needed.map(&:name)).to contain_exactly("em-websocket-rs", "http_parser.rb")
    expect(needed.to_h { |one| [one.name, one.requirement.to_s] })
      .to include("em-websocket-rs" => "= #{version}")
  end

  describe "in a Gemfile" do
    around do |example|
      Dir.mktmpdir("bundle") do |directory|
        @directory = directory
        File.write(File.join(directory, "Gemfile"), gemfile)
        File.write(File.join(directory, "_config.yml"), "exclude: [Gemfile, Gemfile.lock]\n")
        File.write(File.join(directory, "index.html"), "---\n---\n<head></head>\n")
        example.run
      end
    end

    # As README.md has it, but for the place of this repository.
    def gemfile
      readme = File.read(File.join(Program::ROOT, "README.md"))
      shown = readme[/^```ruby\n((?:(?!^```).*\n)*?gem "jekyll"(?:.*\n)*?)^```$/, 1]
      "source Gem.sources.first.uri.to_s\n#{shown.gsub("../em-websocket-rs", Program::ROOT)}"
    end

    def environment
      {
        "BUNDLE_GEMFILE" => File.join(@directory, "Gemfile"), "BUNDLER_VERSION" => bundler_version,
        "BUNDLE_APP_CONFIG" => File.join(@directory, ".bundle"),
        "BUNDLE_USER_HOME" => File.join(@directory, ".bundle"),
        "BUNDLE_SILENCE_ROOT_WARNING" => "1", "RUBYLIB" => nil, "RUBYOPT" => nil,
        "FEATURES" => features
      }
    end

    # Debian's Bundler knows where Debian has its gems; the one that is part of Ruby does not.
    def bundler_version
      Gem::Specification.find_all_by_name("bundler").reject(&:default_gem?).map(&:version).max&.to_s
    end

    def features = File.join(@directory, "features")

    def bundle(*arguments)
      output, status = Open3.capture2e(environment, "bundle", *arguments, chdir: @directory)
      expect(status).to be_success, output
      output
    end

    it "takes em-websocket's place under Jekyll" do
      bundle("install", "--local")
      expect(bundle("list")).to include("em-websocket (0.5.4", "em-websocket-rs (")
      port, livereload_port = Program.free_ports(2)
      # RUBYOPT is split at spaces, RUBYLIB is not.
      env = environment.merge("RUBYOPT" => "-rfeatures", "RUBYLIB" => Program::FIXTURES)
      Program.run(
        "bundle", "exec", "jekyll", "serve", "--livereload", "--port", port.to_s,
        "--livereload-port", livereload_port.to_s, env: env, chdir: @directory
      ) do |jekyll|
        jekyll.wait_for(/Server running/)
        client = connect(port: livereload_port)
        expect(JSON.parse(client.read_text)).to include("command" => "hello")

        expect(jekyll.stop).to be_success
        expect(client).to be_eof
        # Under Bundler, Ruby 3.3 says of other gems what of its library will be gems some day.
        rubys_own = /was loaded from the standard library|to silence this warning/
        expect(jekyll.errors.lines.grep_v(rubys_own)).to be_empty
      end
      expect(features).to be_of_this_library
    end

    it "is required by Bundler.require" do
      bundle("lock", "--local")
      bundle("exec", RbConfig.ruby, "-r", Program.fixture("features"), "-e", "Bundler.require")

      expect(features).to be_of_this_library
    end
  end
end
