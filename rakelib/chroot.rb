# frozen_string_literal: true

require "fileutils"
require "open3"
require "shellwords"
require_relative "native/debian"

# A Debian of another suite in a directory, to run commands in. It has this machine's network and
# its certificate authorities, and what is mounted in it goes with each command. For root alone.
class Chroot
  # Its message says what went wrong.
  class Failure < StandardError; end

  # Mounts in a namespace of the command's own, and runs the rest there.
  ENTER = <<~SH
    root=$1 && shift
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && exec chroot "$root" "$@"
  SH

  # Directory of the smallest systems, one for each suite: what is run works on copies.
  BASES = ENV.fetch("CHROOT_BASES", "tmp/chroots")

  attr_reader :directory

  # @param suites [Array<String>] of Debian: the first is installed, packages are of all
  def initialize(directory, *suites)
    @directory = File.expand_path(directory)
    @suites = suites
  end

  # Installs Debian's smallest system there, unless it is there already.
  def make
    return self if File.exist?(path("etc/made"))
    raise Failure, "only root can make a chroot" unless Process.uid.zero?

    FileUtils.rm_rf(@directory)
    FileUtils.mkdir_p(File.dirname(@directory))
    command("cp", "--archive", base, @directory)
    write_sources
    FileUtils.touch(path("etc/made"))
    self
  end

  # @return [String] what it printed
  def run(*command, env: {}, chdir: "/", user: nil)
    command(*enter(*command, env: env, chdir: chdir, user: user))
  end

  # @return [Array<String>] the command that runs another one there
  def enter(*command, env: {}, chdir: "/", user: nil)
    settings = { "PATH" => "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                 "HOME" => "/root", "DEBIAN_FRONTEND" => "noninteractive" }.merge(env)
    become = user ? ["setpriv", "--reuid=#{user}", "--regid=nogroup", "--clear-groups"] : []
    ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh", @directory,
     "env", "--ignore-environment", "--chdir=#{chdir}",
     *settings.map { |name, value| "#{name}=#{value}" }, *become, *command]
  end

  def path(name) = File.join(@directory, name)

  def remove = FileUtils.rm_rf(@directory)

  private

  def base
    (mirror, suite), = Debian.suites(*@suites)
    kept = File.join(File.expand_path(BASES), suite)
    return kept if Dir.exist?(kept)

    building = "#{kept}.new"
    FileUtils.rm_rf(building)
    FileUtils.mkdir_p(File.dirname(kept))
    command("debootstrap", "--variant=minbase", suite, building, mirror)
    FileUtils.mv(building, kept)
    kept
  end

  def write_sources
    lines = Debian.suites(*@suites).flat_map do |address, suite|
      %w[deb deb-src].map { |kind| "#{kind} #{address} #{suite} main\n" }
    end
    File.write(path("etc/apt/sources.list"), lines.join)
    File.write(path("etc/apt/apt.conf.d/99chroot"),
               "Acquire::Check-Valid-Until \"false\";\nAPT::Install-Recommends \"false\";\n")
    FileUtils.cp("/etc/resolv.conf", path("etc/resolv.conf"))
    authorities = path("usr/local/share/ca-certificates")
    FileUtils.mkdir_p(authorities)
    FileUtils.cp(Dir["/usr/local/share/ca-certificates/*.crt"], authorities)
  end

  def command(*command)
    output, status = Open3.capture2e(*command)
    raise Failure, "#{command.shelljoin} failed:\n#{output}" unless status.success?

    output
  rescue Errno::ENOENT
    raise Failure, "there is no #{command.first} (`bin/setup native` installs it)"
  end
end
