# frozen_string_literal: true

require "json"
require "socket"
require_relative "checkout"
require_relative "chroot"
require_relative "echo_probe"

# A Dockerfile carried out in chroots, each stage in one of its own: FROM debian, RUN, COPY, ENV,
# WORKDIR, USER and CMD, as far as this repository's has them.
class Dockerfile
  # A stage: its name, its chroot, and what holds for the commands that follow.
  Stage = Struct.new(:name, :chroot, :env, :workdir, :user, :command, keyword_init: true)

  SUITES = { "debian:12-slim" => "bookworm", "debian:13-slim" => "trixie" }.freeze
  IGNORED = %w[EXPOSE STOPSIGNAL].freeze

  # @return [Array<(String, String)>] instructions and what stands behind them
  def self.parse(text)
    text.gsub(/^\s*#.*\n/, "").gsub(/ *\\\n\s*/, " ").lines(chomp: true).reject(&:empty?)
        .map { |line| line.split(" ", 2) }
  end

  # @param context [String] the directory that COPY copies from
  # @param directory [String] for the chroots
  def initialize(context, directory)
    @context = context
    @directory = directory
    @stages = []
  end

  # @return [Stage] the last one
  def build(text)
    self.class.parse(text).each do |instruction, rest|
      puts "#{instruction} #{rest}"
      next if IGNORED.include?(instruction)

      public_send(instruction.downcase, rest)
    end
    stage
  end

  def stage = @stages.last

  def from(rest)
    image, name = rest.split(/ AS /i)
    suite = SUITES.fetch(image)
    chroot = Chroot.new(File.join(@directory, "#{@stages.size}-#{suite}"), suite).make
    @stages << Stage.new(name: name, chroot: chroot, env: {}, workdir: "/")
  end

  def run(rest)
    stage.chroot.run("sh", "-c", rest, env: stage.env, chdir: stage.workdir, user: stage.user)
  end

  # Copies files: of the checkout what git lists; .dockerignore says as much.
  def copy(rest)
    option, = rest.scan(/--from=(\S+)/).flatten
    from, to = rest.sub(/--from=\S+ /, "").split
    source = option ? @stages.find { |one| one.name == option }.chroot.path(from) : nil
    target = stage.chroot.path(to)
    FileUtils.mkdir_p(File.dirname(target))
    # What is in the directory, into one that may be there: as Docker does.
    return FileUtils.cp_r("#{source}/.", target, preserve: true) if source
    return FileUtils.cp(File.join(@context, from), target) unless from == "."

    Checkout.copy(@context, target)
  end

  def env(rest)
    stage.env = stage.env.merge(rest.scan(/(\w+)=(\S+)/).to_h)
  end

  def workdir(rest)
    FileUtils.mkdir_p(stage.chroot.path(rest))
    stage.workdir = rest
  end

  def user(rest) = stage.user = rest

  def cmd(rest) = stage.command = JSON.parse(rest)

  # Runs the last stage's command, and answers what a client that says hello gets.
  def echo
    port = Addrinfo.tcp("127.0.0.1", 0).bind { |socket| socket.local_address.ip_port }
    command = stage.chroot.enter(*stage.command, env: stage.env.merge("PORT" => port.to_s),
                                                 chdir: stage.workdir, user: stage.user)
    IO.popen(command) do |server|
      wait_for(port)
      EchoProbe.exchange(port)
    ensure
      # unshare ignores TERM; what it has started goes with it.
      Process.kill("KILL", server.pid)
    end
  end

  private

  def wait_for(port)
    200.times do
      return Socket.tcp("127.0.0.1", port).close
    rescue Errno::ECONNREFUSED
      sleep 0.1
    end
  end
end
