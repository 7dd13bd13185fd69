# frozen_string_literal: true

require "English"
require "io/wait"

# One of examples/, run as a program of its own; the kernel chooses its port, unless one is given.
class Example
  TIMEOUT = 15
  ROOT = File.expand_path("../..", __dir__)

  # Text that it has printed so far.
  attr_reader :said

  attr_reader :port, :pid

  # Runs the example while the block does, and then ends it as Ctrl-C or `kill` would.
  def self.run(name, *arguments, port: 0, signal: "TERM", env: {})
    example = new(name, port, *arguments, env: env)
    yield example
    example.stop(signal)
  ensure
    example&.kill
  end

  def initialize(name, port = 0, *arguments, env: {})
    @output, writer = IO.pipe
    library = ENV["COMPAT"] == "upstream" ? [] : ["-I", File.join(ROOT, "lib")]
    @pid = spawn(env, "ruby", *library, File.join(ROOT, "examples", "#{name}.rb"), port.to_s,
                 *arguments, in: File::NULL, out: writer, err: %i[child out])
    writer.close
    @said = +""
    @port = Integer(wait_for(%r{(?:ws|wss|http)://[\w.]+:(\d+)/})[1])
  end

  # Match of what the program has printed, as soon as it matches.
  def wait_for(pattern)
    deadline = now + TIMEOUT
    until (match = pattern.match(@said))
      raise "#{pattern.inspect} did not come in #{@said.inspect}" unless more?(deadline - now)
    end
    match
  end

  # Ends the example, which must do so by itself at this signal.
  def stop(signal = "TERM")
    Process.kill(signal, @pid)
    join
  end

  # Its end, which must come by itself.
  def join
    nil while more?(TIMEOUT)
    _, @status = Process.wait2(@pid)
    raise "the example ended with #{@status}, saying #{@said.inspect}" unless @status.success?
  end

  def kill
    return if @status || !@pid

    Process.kill("KILL", @pid)
    Process.wait(@pid)
  end

  private

  # Reads what has been printed; false at the end of it, or where nothing comes in time.
  def more?(timeout)
    return false unless timeout.positive? && @output.wait_readable(timeout)

    piece = @output.read_nonblock(65_536, exception: false)
    @said << piece if piece.is_a?(String)
    !piece.nil?
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end
