# frozen_string_literal: true

require "json"
require "socket"
require_relative "../apps/program"

# Processes that have their channels in common, for specs.
module Cluster
  # One of them.
  class Member
    PROGRAM = File.join(__dir__, "member.rb")

    def initialize(url)
      theirs, @commands = Socket.pair(:UNIX, :STREAM)
      @program = Program.new(RbConfig.ruby, "-I", Program::LIBRARY, PROGRAM, theirs.fileno.to_s,
                             inherit: theirs)
      theirs.close
      @read = 0
      @answers = Thread::Queue.new
      @told = []
      next_answer
      call("EM::WebSocket.pubsub = #{url.inspect}") if url
    end

    # The value of Ruby code, there.
    def call(code)
      @commands.puts(code)
      next_answer
    end

    # The block's answer to what it has told, once that is true.
    def wait_for(what = "what is waited for", seconds = Program::TIMEOUT)
      deadline = now + seconds
      until (result = yield(@told))
        raise "#{what} did not come: #{@told.last(20)} #{@program.errors}" if now > deadline

        read(0.05)
      end
      result
    end

    # Waits for something that it tells.
    def hears(*words) = wait_for(words.inspect) { |told| told.include?(words) }

    def told
      read(0)
      @told
    end

    # The messages of a channel that it has heard.
    def heard(channel) = told.filter_map { |name, message| message if name == channel }

    def connected = hears("connected", nil)

    def signal(name) = Process.kill(name, @program.pid)

    def end
      @commands.close
      @program.kill
    end

    private

    def next_answer
      deadline = now + Program::TIMEOUT
      read(1) || (raise "no answer: #{@program.errors}") while @answers.empty? && now < deadline
      @answers.pop
    end

    def read(timeout)
      is_there = @program.more(timeout)
      lines = @program.output.slice!(/\A.*\n/m) || ""
      lines.each_line do |line|
        words = JSON.parse(line[2..])
        line.start_with?("=") ? @answers << words.first : @told << words
      end
      is_there || !timeout.positive?
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  # A new member, which the example's end ends.
  def member(url)
    members << Member.new(url)
    members.last
  end

  # Members that are connected.
  def connected(url, count)
    Array.new(count) { member(url) }.each do |member|
      member.call("hear 'all'")
      member.connected
    end
  end

  # The number of subscribers at the member.
  def publish(member, channel, message)
    member.call("EM::WebSocket.publish(#{channel.inspect}, #{message.inspect}).receivers")
  end

  # Waits until all members hear what any of them publishes.
  def meet(members, channel)
    members.each { |member| member.call("keep #{channel.inspect}") }
    members.each_with_index do |member, index|
      members.each do |other|
        other.wait_for("the others") do
          publish(member, channel, "meet:#{index}")
          other.call("(@kept[#{channel.inspect}] || []).include?('meet:#{index}')")
        end
      end
    end
  end

  # Has a member hear a channel with history, and waits until it is subscribed.
  def hear_kept(member, channel)
    member.call("hear #{channel.inspect}")
    member.call("EM::WebSocket.history(#{channel.inspect}) { tell('loaded') }")
    member.hears("loaded")
  end

  def members = @members ||= []

  def end_members = members.each(&:end)
end
