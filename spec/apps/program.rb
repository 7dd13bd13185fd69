# frozen_string_literal: true

require "io/wait"
require "net/http"
require "rbconfig"
require "tmpdir"

# A program in a process group of its own. Whatever it says is read as it comes; whatever it leaves
# behind is ended with it.
class Program
  TIMEOUT = 20
  ROOT = File.expand_path("../..", __dir__)
  LIBRARY = File.join(ROOT, "lib")
  # Directory of what bin/setup has unpacked.
  UNPACKED = File.join(ROOT, "tmp/servers/usr")
  FIXTURES = File.join(__dir__, "fixtures")

  class Failed < StandardError; end

  class << self
    # Runs a command while the block does.
    def run(*command, **options)
      program = new(*command, **options)
      yield program
    ensure
      program&.kill
    end

    # Runs Ruby with the library that the suite is about.
    def ruby(*arguments, **options, &block)
      run(RbConfig.ruby, *(["-I", LIBRARY] unless UPSTREAM), *arguments, **options, &block)
    end

    # Runs an installed program of others, as it is, on the library that the suite is about; it
    # leaves the names of that library's files in the file `features`.
    def application(name, *arguments, features:, **options, &block)
      # Some put directories in front of the load path, and the other library may be in there.
      library = UPSTREAM ? [] : %w[-r em-websocket-rs]
      ruby(*library, "-r", File.join(FIXTURES, "features.rb"), find(name), *arguments,
           env: { "FEATURES" => features }, **options, &block)
    end

    def fixture(name) = File.join(FIXTURES, "#{name}.rb")

    # Ports of this machine that nobody has at this moment.
    def free_ports(count)
      listeners = Array.new(count) { TCPServer.new("127.0.0.1", 0) }
      listeners.map { |listener| listener.addr[1] }
    ensure
      listeners&.each(&:close)
    end

    # A server's program, or nil: sbin need not be in a user's PATH, and bin/setup unpacks some.
    def server(name)
      directories = [*ENV.fetch("PATH").split(":"), "/usr/sbin",
                     *%w[sbin bin].map { |directory| File.join(UNPACKED, directory) }]
      directories.map { |directory| File.join(directory, name) }
                 .find { |path| File.executable?(path) }
    end

    # Environment that such a program needs to find its libraries.
    def server_environment
      { "LD_LIBRARY_PATH" => Dir.glob(File.join(UNPACKED, "lib/*-linux-gnu*")).join(":") }
    end

    def find(name)
      ENV.fetch("PATH").split(":").map { |directory| File.join(directory, name) }
         .find { |path| File.executable?(path) } ||
        raise(Failed, "there is no #{name} (bin/setup installs it where Debian has it)")
    end
  end

  attr_reader :pid

  # Text that it has printed so far.
  attr_reader :output, :errors

  # @param inherit [IO, nil] one that it has, too, by the same number
  def initialize(*command, env: {}, chdir: ROOT, inherit: nil)
    @output = +""
    @errors = +""
    out, its_out = IO.pipe
    err, its_err = IO.pipe
    @streams = { out => @output, err => @errors }
    @pid = spawn(env, *command.compact, chdir: chdir, in: File::NULL, out: its_out, err: its_err,
                                        pgroup: true, **(inherit ? { inherit => inherit } : {}))
    [its_out, its_err].each(&:close)
  end

  # Reads what it says within some seconds; false where that is nothing.
  def more(timeout) = more?([timeout, 0.0001].max)

  # The match, as soon as it has said this.
  def wait_for(pattern, stream = @output)
    deadline = now + TIMEOUT
    until (match = pattern.match(stream))
      more?(deadline - now) || raise(Failed, "no #{pattern.inspect} came: #{self}")
    end
    match
  end

  # Its end, which must come by itself after this signal.
  def stop(signal = "INT")
    Process.kill(signal, @pid)
    join
  end

  # Its end, which must come by itself.
  def join
    deadline = now + TIMEOUT
    nil while more?(deadline - now)
    raise Failed, "it did not end: #{self}" unless @streams.empty?

    status
  end

  def kill
    Process.kill("KILL", -@pid)
  rescue Errno::ESRCH
    nil
  ensure
    status
    @streams.each_key(&:close)
  end

  def to_s = "it said #{@output.inspect} and #{@errors.inspect}"

  private

  def status = @status ||= Process.wait2(@pid).last

  # Reads what has been said; false at the end of it, or where nothing comes in time.
  def more?(timeout)
    return false if @streams.empty? || !timeout.positive?

    ready, = IO.select(@streams.keys, nil, nil, timeout)
    ready&.each do |stream|
      case piece = stream.read_nonblock(65_536, exception: false)
      when String then @streams[stream] << piece
      when nil then @streams.delete(stream).then { stream.close }
      end
    end
    !ready.nil?
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

# Methods of examples about programs.
module Programs
  def get(port, path = "/")
    Net::HTTP.start("127.0.0.1", port, open_timeout: 5, read_timeout: 5) { |http| http.get(path) }
  end

  # Nobody listens there any more, and nobody is in the way of the next.
  def be_free = satisfy("be a free port") { |port| TCPServer.new("127.0.0.1", port).close.nil? }

  # The library that the suite is about, and nothing of the other.
  def be_of_this_library
    satisfy("be of #{UPSTREAM ? "the other library" : Program::LIBRARY}") do |path|
      files = File.readlines(path, chomp: true)
      library = File.realpath(Program::LIBRARY)
      ours, theirs = files.partition { |file| file.start_with?("#{library}/") }
      files.any? && (UPSTREAM ? ours : theirs).empty?
    end
  end
end

if defined?(RSpec)
  RSpec.configure { |config| config.include(Programs, file_path: %r{spec/(apps|packaging)/}) }
end
