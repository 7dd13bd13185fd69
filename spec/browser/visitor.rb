# frozen_string_literal: true

require "fileutils"
require "io/wait"
require "json"
require "socket"
require "tmpdir"
require_relative "chromium"
require_relative "profile_directory"

# A headless browser that is sent to one page, where it opens WebSockets as it is told. Nothing
# drives it: the page asks for a task, and tells with its next request what came of it, so that it
# is the same for every browser.
class Visitor
  TIMEOUT = 60
  PAGE = File.read(File.join(__dir__, "visitor.html"))

  class Failed < StandardError; end

  def self.chromium(profile)
    flags = Chromium::FLAGS - ["--remote-debugging-pipe"]
    [Chromium.program, *flags, "--no-proxy-server", "--user-data-dir=#{profile}"]
  end

  # Nothing that it would do by itself has a name to look up, or a proxy to go through.
  def self.firefox(profile)
    settings = {
      "network.dns.disabled" => true, "network.proxy.type" => 0,
      "datareporting.policy.dataSubmissionEnabled" => false, "browser.aboutwelcome.enabled" => false
    }
    lines = settings.map { |name, value| "user_pref(#{name.to_json}, #{value.to_json});\n" }
    File.write(File.join(profile, "user.js"), lines.join)
    program = ENV.fetch("PATH").split(":").product(%w[firefox-esr firefox])
                 .map { |path| File.join(*path) }.find { |path| File.executable?(path) }
    program || raise(Failed, "there is no Firefox (bin/setup browser installs it)")
    [program, "--headless", "--no-remote", "--profile", profile]
  end

  # `browser` is :chromium or :firefox.
  def initialize(browser)
    @connections = {}
    @directory = Dir.mktmpdir(browser.to_s)
    profile, scratch = %w[profile tmp].map { |name| File.join(@directory, name) }
    Dir.mkdir(profile)
    Dir.mkdir(scratch)
    @log = File.join(@directory, "log")
    @listener = TCPServer.new("127.0.0.1", 0)
    # Firefox refuses a home that is somebody else's, as root's may be.
    @pid = spawn({ "HOME" => profile, "TMPDIR" => scratch, "MOZ_CRASHREPORTER_DISABLE" => "1" },
                 *self.class.public_send(browser, profile),
                 "http://127.0.0.1:#{@listener.addr[1]}/",
                 in: File::NULL, %i[out err] => @log, pgroup: true)
  rescue StandardError
    quit
    raise
  end

  # Outcome of a task (visitor.html has what it may be), once the page has done it.
  def perform(task)
    asking = @asking || next_report.first
    @asking = nil # until the page asks again, which an example may not live to see
    respond(asking, "application/json", JSON.generate(task))
    @asking, report = next_report
    JSON.parse(report)
  end

  def quit
    finish if @pid
  ensure
    [@listener, *@connections.keys].compact.each(&:close)
    ProfileDirectory.remove(@directory)
  end

  private

  # The page's next request for a task, and what it says of the last one.
  def next_report
    deadline = now + TIMEOUT
    loop do
      connection, verb, path, body = next_request(deadline)
      return [connection, body] if verb == "POST"
      next respond(connection, "text/html", PAGE) if path == "/"

      respond(connection, "text/plain", "", "404 Not Found")
    end
  end

  # Browsers open connections that they may never use, so one is not waited for.
  def next_request(deadline)
    loop do
      ready, = IO.select([@listener, *@connections.keys], nil, nil, [deadline - now, 0].max)
      ready || raise(Failed, "nothing came for #{TIMEOUT} s: #{File.read(@log)}")
      ready.each do |io|
        next @connections[io.accept] = +"" if io == @listener

        request = read(io)
        return [io, *request] if request
      end
    end
  end

  # The verb, path and body of a request, if all of it has come.
  def read(connection)
    piece = connection.read_nonblock(65_536, exception: false)
    return hang_up(connection) if piece.nil?
    return if piece == :wait_readable

    head, body = (@connections[connection] << piece).split("\r\n\r\n", 2)
    return unless body && body.bytesize >= head[/^Content-Length: (\d+)/i, 1].to_i

    [*head.split(" ", 3).first(2), body]
  rescue SystemCallError
    hang_up(connection)
  end

  def respond(connection, type, body, status = "200 OK")
    connection.write("HTTP/1.1 #{status}\r\nContent-Type: #{type}; charset=utf-8\r\n",
                     "Content-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n", body)
  ensure
    hang_up(connection)
  end

  def hang_up(connection)
    @connections.delete(connection)
    connection.close
  end

  # Asked to end, it ends its processes itself; what is left of them after a while is killed.
  def finish
    Process.kill("TERM", @pid)
    deadline = now + 5
    sleep 0.02 until (ended = Process.wait(@pid, Process::WNOHANG)) || now > deadline
    Process.kill("KILL", -@pid)
    Process.wait(@pid) unless ended
  rescue Errno::ESRCH
    nil # nothing is left
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end
