# frozen_string_literal: true

require "tmpdir"
require_relative "cluster"

# Channels that the processes of one host have in common without a broker.
RSpec.describe EventMachine::WebSocket, "pubsub of one host", :extension, timeout: 60 do
  include Cluster

  around { |example| Dir.mktmpdir { |directory| example.run if (@directory = "#{directory}/app") } }
  after { end_members }

  def url = "ipc:#{@directory}"

  # Members that have met, of which the first is the hub.
  def begin_with(count, channel)
    all = Array.new(count) { connected(url, 1).first }
    meet(all, channel)
    all.each { |member| member.call("@kept = {}") }
  end

  def complete(member, channel, numbers)
    member.wait_for("the last of each") do
      member.call("numbers(#{channel.inspect})").transform_values(&:last) ==
        numbers.transform_values(&:last)
    end
    member.call("numbers(#{channel.inspect})")
  end

  it "brings messages to all processes, of which one makes the directory, for its user alone" do
    all = begin_with(3, "room")
    expect(File.stat(@directory).mode & 0o777).to eq(0o700)
    all.each_with_index { |member, index| publish(member, "room", "#{index}:1") }
    all.each do |one|
      expect(complete(one, "room", "0" => [1], "1" => [1], "2" => [1]).size).to eq(3)
    end
  end

  it "keeps history for all, in one order" do
    all = begin_with(3, "kept:n")
    all.each_with_index { |member, who| member.call("count_up #{who}, 1000, 'kept:n'") }
    expected = %w[0 1 2].to_h { |who| [who, [*1..1000]] }
    all.each { |member| expect(complete(member, "kept:n", expected)).to eq(expected) }
    histories = all.map { |member| member.call("EM::WebSocket.history('kept:n', limit: 5000)") }
    expect(histories.uniq.size).to eq(1)
  end

  it "loses nothing where a process is killed that is not the hub" do
    all = begin_with(3, "kept:n")
    all.each { |member| member.call("keep 'n'") }
    all.last.call("count_up 2, 1000, 'kept:n'")
    all.first(2).each_with_index { |it, who| it.call("count_up #{who}, 1000, 'kept:n', 'n'") }
    all.last.signal("KILL")
    expected = %w[0 1].to_h { |who| [who, [*1..1000]] }
    all.first(2).each do |member|
      expect(complete(member, "n", expected).slice("0", "1")).to eq(expected)
      member.wait_for { member.call("numbers('kept:n')").values_at("0", "1") == expected.values }
      expect(member.call("EM::WebSocket.const_get(:Native).pubsub_stats[:pubsub_reconnects]"))
        .to eq(0)
    end
  end

  it "goes on with another hub where the hub is killed, and tells of the gap" do
    all = begin_with(3, "room")
    all.drop(1).each { |member| member.call("keep 'kept:n'") }
    all[1].call("serve.then { |port| @port = port }")
    client = RawClient.open(all[1].call("@port"), target: "/room?ongap=1")
    all[1].hears("open", "/room")
    all.first.signal("KILL")
    all[1].hears("ongap", "room")
    left = all.drop(1)
    left.each do |one|
      one.wait_for { |told| told.count(["connected", nil]) == 2 }
      publish(one, "kept:n", "1:1")
    end
    # Until each has heard both.
    all_have = -> { left.all? { |one| one.call("(@kept['kept:n'] || []).size") == 2 } }
    left.last.wait_for("both messages") { all_have.call }
    client.disconnect
  end

  it "has another hub where one has ended and left a child that it forked" do
    all = begin_with(2, "room")
    all.first.call("fork { sleep 20 }.then { |pid| @pid = pid }")
    all.first.signal("KILL")
    all.last.wait_for { |told| told.count(["connected", nil]) == 2 }
  end

  it "refuses a directory that others may look into" do
    Dir.mkdir(@directory, 0o755)
    one = member(url)
    one.call("hear 'room'")
    told = one.wait_for { |all| all.find { |state, *| state == "disconnected" } }
    expect(told.last).to match(/\Aipc:.*app: it has mode 0755.*chmod 0700/)
  end
end
