# frozen_string_literal: true

require "open3"
require_relative "../apps/program"

RSpec.describe "require", :extension do
  # Output of a program of Ruby's, with warnings on and nothing of this process's environment.
  def run_ruby(*arguments)
    clean = { "RUBYOPT" => nil, "RUBYLIB" => nil, "BUNDLE_GEMFILE" => nil }
    output, errors, status = Open3.capture3(clean, RbConfig.ruby, "-w", *arguments)
    expect([errors, status.exitstatus]).to eq(["", 0])
    output
  end

  # Directory of em-websocket itself.
  def other_library
    File.dirname(run_ruby("-e", <<~RUBY))
      require "em-websocket"
      print $LOADED_FEATURES.grep(%r{/em-websocket\\.rb\\z}).first
    RUBY
  end

  # Requires these one after the other and answers what `require` did; every file must be ours.
  def required(*names, load_path: [Program::LIBRARY])
    output = run_ruby(*load_path.flat_map { |path| ["-I", path] }, "-e", <<~RUBY)
      puts #{names.inspect}.map { |name| require name }.inspect
      puts $LOADED_FEATURES.grep(%r{/em-websocket})
    RUBY
    answers, files = output.split("\n", 2)
    expect(files.lines(chomp: true)).to all(start_with("#{Program::LIBRARY}/"))
    answers
  end

  %w[em-websocket em-websocket-rs].permutation.each do |first, second|
    it "loads the library as #{first}, and nothing more as #{second}" do
      expect(required(first, second, first)).to match(/\A\[true, (?:true|false), false\]\z/)
    end
  end

  describe "with em-websocket on the load path too" do
    it "finds what comes first" do
      expect(required("em-websocket", load_path: [Program::LIBRARY, other_library])).to eq("[true]")
    end

    it "loads this library by its own name, and em-websocket is no other then" do
      load_paths = [Program::LIBRARY, other_library].permutation
      rest = %w[em-websocket em-websocket/websocket em-websocket/connection em-websocket/version]
      load_paths.each do |load_path|
        expect(required("em-websocket-rs", *rest, load_path: load_path))
          .to eq("[true, false, false, false, false]")
      end
    end

    it "does so through a symbolic link" do
      Dir.mktmpdir do |directory|
        link = File.join(directory, "lib")
        File.symlink(Program::LIBRARY, link)

        expect(required("em-websocket-rs", "em-websocket", load_path: [other_library, link]))
          .to eq("[true, false]")
      end
    end

    it "does so where em-websocket is put in front afterwards, and activated as a gem" do
      answers = run_ruby("-I", Program::LIBRARY, "-e", <<~RUBY)
        require "em-websocket-rs"
        $LOAD_PATH.unshift(#{other_library.inspect})
        gem "em-websocket", "~> 0.5"
        puts require("em-websocket"), $LOADED_FEATURES.grep(%r{/em-websocket})
      RUBY

      expect(answers.lines(chomp: true))
        .to match(["false", *[start_with("#{Program::LIBRARY}/")] * (answers.lines.size - 1)])
    end

    it "refuses to be mixed with it" do
      answer = run_ruby("-I", other_library, "-I", Program::LIBRARY, "-e", <<~RUBY)
        require "em-websocket"
        begin
          require "em-websocket-rs"
        rescue LoadError => e
          puts e.message
        end
      RUBY

      expect(answer).to include("em-websocket is loaded already")
    end
  end

  it "loads http_parser.rb, which em-websocket's users have never required" do
    expect(run_ruby("-I", Program::LIBRARY, "-e", <<~RUBY)).to eq("constant\n")
      require "em-websocket"
      puts defined?(Http::Parser)
    RUBY
  end

  it "does without http_parser.rb" do
    expect(run_ruby("-I", Program::LIBRARY, "-e", <<~RUBY)).to eq("true\nnil\n")
      module Missing
        def require(name) = name == "http/parser" ? raise(LoadError, name) : super
      end
      Object.prepend(Missing)
      puts require("em-websocket"), defined?(Http::Parser).inspect
    RUBY
  end

  it "starts no thread before there is a server" do
    expect(run_ruby("-I", Program::LIBRARY, "-e", <<~RUBY)).to eq("[true, false]\n")
      require "eventmachine"
      threads = -> { Dir.children("/proc/self/task").size }
      before = threads.call
      require "em-websocket"
      same = [before == threads.call]
      EM.run do
        EM::WebSocket.run(host: "127.0.0.1", port: 0) {}
        same << (before == threads.call)
        EM.stop
      end
      p same
    RUBY
  end
end
